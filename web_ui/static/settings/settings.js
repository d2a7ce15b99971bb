// @ts-check
/**
 * What was changed of the settings that the packed file came with. Knows nothing about the page.
 * @module
 */

import { SAMPLING_FIELDS } from "./fields.js";

/**
 * @typedef {import("../api/program.js").Info} Info
 * @typedef {import("../api/answers.js").ChatRequest} ChatRequest
 * @typedef {import("../api/answers.js").RequestMessage} RequestMessage
 * @typedef {Record<string, any> & {system_prompt?: string}} Values
 */

export class Settings {
  /** @type {Values} */
  #defaults = { system_prompt: "" };
  /** @type {ReadonlySet<string>} */
  #locked = new Set();
  /** Tells the packed file apart, so that changes are not carried over to another model. */
  owner = "";

  /**
   * Takes the file's own settings.
   * @param {Info} info
   */
  load(info) {
    this.#locked = new Set(info.locked);
    this.#defaults = { system_prompt: info.chat.system_prompt };
    for (const { name } of SAMPLING_FIELDS) this.#defaults[name] = info.sampling[name] ?? null;
    this.owner = `${info.title}\n${info.model?.name ?? ""}`;
  }

  /** @returns {Values} */
  get defaults() {
    return this.#defaults;
  }

  /**
   * @param {string} name
   * @returns {boolean}
   */
  isLocked(name) {
    return this.#locked.has(name === "system_prompt" ? "chat.system_prompt" : `sampling.${name}`);
  }

  /**
   * @param {Values} values
   * @returns {Values} what of them is a change: neither the default nor locked, and known
   */
  changes(values) {
    const kept = Object.entries(values).filter(
      ([name, value]) =>
        name in this.#defaults && !this.isLocked(name) && value !== this.#defaults[name] && value !== null,
    );
    return Object.fromEntries(kept);
  }

  /**
   * Makes a request that says only what was changed, so the program's own settings hold for the rest.
   * @param {Values} changed
   * @param {RequestMessage[]} messages
   * @returns {ChatRequest}
   */
  request(changed, messages) {
    const { system_prompt, ...sampling } = this.changes(changed);
    // An empty system prompt is sent too: it is how the file's own one is switched off.
    const prompt = system_prompt === undefined ? [] : [{ role: "system", content: system_prompt }];
    return { ...sampling, messages: [...prompt, ...messages] };
  }
}
