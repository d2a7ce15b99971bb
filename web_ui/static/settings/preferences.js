// @ts-check
/**
 * How the reader likes the page: language, theme, text size, and what new chats begin with. Kept by the program, so that
 * every browser knows it; theme and size in this browser as well, so that the page begins in them (look.js).
 * @module
 */

import { call } from "../api/http.js";

/**
 * @typedef {object} Values
 * @property {string} [language]
 * @property {string} [theme]
 * @property {string} [size]
 * @property {{owner: string, values: Record<string, any>}} [chat_settings]
 */

const STORAGE_KEY = "look";

export class Preferences {
  /** @type {Values} */
  #values = readLocal();
  #isKept = false;

  /** @returns {Readonly<Values>} */
  get values() {
    return this.#values;
  }

  /**
   * Takes what the program kept.
   * @param {boolean} isKept whether it keeps anything
   */
  async load(isKept) {
    this.#isKept = isKept;
    if (isKept) this.#values = { ...this.#values, ...(await call("GET", "/api/preferences")) };
    this.#apply();
  }

  /** @param {Values} values to change */
  set(values) {
    this.#values = { ...this.#values, ...values };
    this.#apply();
    if (this.#isKept) void this.#save();
  }

  async #save() {
    try {
      await call("PUT", "/api/preferences", this.#values, { keepalive: true });
    } catch {
      // This browser knows them; the next change brings them to the program.
    }
  }

  #apply() {
    const { theme, size, language } = this.#values;
    const { dataset } = document.documentElement;
    if (theme && theme !== "auto") dataset.theme = theme;
    else delete dataset.theme;
    if (size && size !== "medium") dataset.size = size;
    else delete dataset.size;
    try {
      localStorage.setItem(STORAGE_KEY, JSON.stringify({ theme: dataset.theme, size: dataset.size, language }));
    } catch {
      // A browser without storage asks the program each time.
    }
  }
}

/** @returns {Values} */
function readLocal() {
  try {
    return JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "{}");
  } catch {
    return {};
  }
}
