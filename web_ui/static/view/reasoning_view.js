// @ts-check
/**
 * What a model thought before it answered: folded away, with how long it took.
 * @module
 */

import { element } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { RichText } from "../text/rich_text.js";
import { shortTime } from "./message_facts.js";

/** @typedef {import("../chat/message.js").Message} Message */

export class ReasoningView {
  element = element("details", "reasoning");
  #title = element("span", "reasoning-title");
  #body = element("div", "reasoning-body");
  #text = new RichText(this.#body);

  constructor() {
    this.element.append(element("summary", "", icon("thought"), this.#title, icon("right")), this.#body);
    // Nothing is drawn while it is folded.
    this.element.addEventListener("toggle", () => this.element.open && this.#draw());
  }

  #reasoning = "";

  /** @param {Message} message */
  show({ reasoning, content, state, timings }) {
    const thinking = content === "" && (state === "waiting" || state === "streaming");
    const seconds = shortTime(timings.reasoning_ms ?? 0);
    const title = thinking
      ? t("reasoning.now")
      : timings.reasoning_ms
        ? t("reasoning.took", { seconds })
        : t("reasoning.title");
    if (this.#title.textContent !== title) this.#title.textContent = title;
    this.element.classList.toggle("reasoning-now", thinking);
    this.#reasoning = reasoning;
    if (this.element.open) this.#draw();
  }

  #draw() {
    const shown = this.#text.text;
    if (this.#reasoning.startsWith(shown)) this.#text.append(this.#reasoning.slice(shown.length));
    else this.#text.set(this.#reasoning);
  }
}
