// @ts-check
/**
 * What an empty conversation shows: a greeting, and prompts to start with.
 * @module
 */

import { button, byId, element } from "../dom.js";
import { t } from "../i18n.js";

/** @typedef {import("../api/program.js").Info} Info */

export class Welcome {
  #section = byId("welcome", HTMLElement);
  #greeting = byId("greeting", HTMLElement);
  #starters = byId("starters", HTMLElement);
  #hasOwnGreeting = false;
  #onStarter;

  /** @param {{onStarter: (text: string) => void}} handlers */
  constructor({ onStarter }) {
    this.#onStarter = onStarter;
  }

  /** @param {Info} info */
  show(info) {
    this.#hasOwnGreeting = info.chat.greeting.trim() !== "";
    this.#greeting.textContent = this.#hasOwnGreeting ? info.chat.greeting : t("welcome.greeting");
    this.#starters.replaceChildren(
      ...info.chat.starters.map((text) => {
        const starter = button(text, "starter", () => this.#onStarter(text));
        starter.dir = "auto";
        return element("li", "", starter);
      }),
    );
  }

  /**
   * The packer's own greeting stays as the conversation's first words; all else makes room.
   * @param {boolean} started whether the conversation has messages
   */
  setStarted(started) {
    this.#section.hidden = started && !this.#hasOwnGreeting;
    this.#section.classList.toggle("welcome-started", started);
    this.#starters.hidden = started || this.#starters.childElementCount === 0;
  }
}
