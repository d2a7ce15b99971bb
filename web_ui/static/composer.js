// @ts-check
/**
 * The field that messages are written in: grows with its text, sends on Enter, keeps a draft for this tab.
 * @module
 */

import { byId, hasFinePointer } from "./dom.js";

const DRAFT_KEY = "draft";
const LARGEST_SHARE = 0.4;

export class Composer {
  #input = byId("composer-input", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);
  #busy = false;
  #onSend;
  #onStop;

  /** @param {{onSend: (text: string) => void, onStop: () => void}} handlers */
  constructor({ onSend, onStop }) {
    this.#onSend = onSend;
    this.#onStop = onStop;
    byId("composer", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#stop.addEventListener("click", () => onStop());
    this.#input.addEventListener("keydown", (event) => this.#keyPressed(event));
    this.#input.addEventListener("input", () => this.#changed());
    window.addEventListener("resize", () => this.#fit());
    this.text = sessionStorage.getItem(DRAFT_KEY) ?? "";
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
    this.#busy = value;
    this.#send.hidden = value;
    this.#stop.hidden = !value;
    this.#changed();
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
    if (event.key === "Escape" && this.#busy) this.#onStop();
    if (event.key !== "Enter" || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    const text = this.text;
    if (this.#busy || text.trim() === "") return;
    this.text = "";
    this.focus();
    this.#onSend(text);
  }

  #changed() {
    this.#send.disabled = this.text.trim() === "";
    sessionStorage.setItem(DRAFT_KEY, this.text);
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
