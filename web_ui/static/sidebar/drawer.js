// @ts-check
/**
 * Whether the list of chats is in sight: beside the conversation on a wide page, over it on a narrow one.
 * @module
 */

import { byId } from "../dom.js";

const NARROW = "(width < 56rem)";
const STORAGE_KEY = "sidebar";

export class Drawer {
  #root = document.documentElement;
  #sidebar = byId("sidebar", HTMLElement);
  #stage = byId("stage", HTMLElement);
  #opener = byId("open-sidebar", HTMLButtonElement);
  #narrow = window.matchMedia(NARROW);

  constructor() {
    this.#opener.addEventListener("click", () => this.set(true, true));
    byId("close-sidebar", HTMLButtonElement).addEventListener("click", () => this.set(false, true));
    byId("sidebar-scrim", HTMLElement).addEventListener("click", () => this.set(false, true));
    this.#sidebar.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.isNarrow && !event.defaultPrevented) this.set(false, true);
    });
    this.#narrow.addEventListener("change", () => this.set(this.#initial));
    this.set(this.#initial);
  }

  get isNarrow() {
    return this.#narrow.matches;
  }

  get #initial() {
    return !this.isNarrow && localStorage.getItem(STORAGE_KEY) !== "closed";
  }

  /** After something was chosen: makes room where the list lies over the conversation. */
  done() {
    if (this.isNarrow) this.set(false);
  }

  /**
   * @param {boolean} open
   * @param {boolean} isAsked by the reader, and so remembered
   */
  set(open, isAsked = false) {
    this.#root.dataset.sidebar = open ? "open" : "closed";
    this.#sidebar.inert = !open;
    this.#stage.inert = open && this.isNarrow;
    this.#opener.setAttribute("aria-expanded", String(open));
    if (!isAsked) return;
    if (!this.isNarrow) localStorage.setItem(STORAGE_KEY, open ? "open" : "closed");
    if (open) byId("close-sidebar", HTMLButtonElement).focus();
    else this.#opener.focus();
  }
}
