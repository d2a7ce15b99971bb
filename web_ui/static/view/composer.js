// @ts-check
/**
 * The field that messages are written in: grows with its text, sends on Enter, keeps a draft for this tab.
 * @module
 */

import { byId, hasFinePointer } from "../dom.js";

const DRAFT_KEY = "draft";
const LARGEST_SHARE = 0.4;

/**
 * @typedef {object} ComposerHandlers
 * @property {(text: string) => void} onSend
 * @property {() => void} onStop
 * @property {() => boolean} hasFiles whether there is something to send besides the text
 */

export class Composer {
  #input = byId("composer-input", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);
  #busy = false;
  /** Whether files are still being read. */
  #waiting = false;
  /** Whether the message is to be sent as soon as they are read. */
  #sendWhenRead = false;
  #handlers;

  /** @param {ComposerHandlers} handlers */
  constructor(handlers) {
    this.#handlers = handlers;
    byId("composer", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#stop.addEventListener("click", () => handlers.onStop());
    this.#input.addEventListener("keydown", (event) => this.#keyPressed(event));
    this.#input.addEventListener("input", () => this.#changed());
    window.addEventListener("resize", () => this.#fit());
    this.#input.value = sessionStorage.getItem(DRAFT_KEY) ?? "";
    this.#show();
  }

  get text() {
    return this.#input.value;
  }

  set text(value) {
    this.#input.value = value;
    this.#changed();
  }

  /** @param {boolean} value whether an answer is being written */
  set busy(value) {
    const hadFocus = document.activeElement === (value ? this.#send : this.#stop);
    this.#busy = value;
    this.#send.hidden = value;
    this.#stop.hidden = !value;
    this.#show();
    if (hadFocus) (value ? this.#stop : this.#input).focus();
  }

  /** To be called when files are added, read or removed. @param {boolean} waiting whether some are still being read */
  filesChanged(waiting) {
    this.#waiting = waiting;
    this.#show();
    if (waiting || !this.#sendWhenRead) return;
    this.#sendWhenRead = false;
    this.#submit();
  }

  /** Puts the cursor into the field, unless that would open an on-screen keyboard. */
  focus() {
    if (hasFinePointer()) this.#input.focus({ preventScroll: true });
  }

  /** To be called when the field becomes visible: its height can't be measured before. */
  shown() {
    this.#fit();
    this.focus();
  }

  /** @param {KeyboardEvent} event */
  #keyPressed(event) {
    // Enter that confirms an input method's suggestion is not for us; Safari reports it only as key code 229.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape" && this.#busy) this.#handlers.onStop();
    if (event.key !== "Enter" || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.#submit();
  }

  get #isEmpty() {
    return this.text.trim() === "" && !this.#handlers.hasFiles();
  }

  #submit() {
    this.#sendWhenRead = this.#waiting && !this.#busy;
    if (this.#busy || this.#waiting || this.#isEmpty) return;
    const text = this.text;
    this.text = "";
    this.focus();
    this.#handlers.onSend(text);
  }

  #changed() {
    this.#sendWhenRead = false;
    sessionStorage.setItem(DRAFT_KEY, this.text);
    this.#show();
  }

  #show() {
    this.#send.disabled = this.#waiting || this.#isEmpty;
    this.#fit();
  }

  #fit() {
    this.#input.style.height = "auto";
    const wanted_px = this.#input.scrollHeight;
    const largest_px = window.innerHeight * LARGEST_SHARE;
    this.#input.style.height = `${Math.min(wanted_px, largest_px)}px`;
    this.#input.style.overflowY = wanted_px > largest_px ? "auto" : "hidden";
  }
}
