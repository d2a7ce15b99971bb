// @ts-check
/**
 * How much of the model's context the chat fills.
 * @module
 */

import { byId } from "../dom.js";
import { number, t } from "../i18n.js";

export class ContextMeter {
  #meter = byId("context-meter", HTMLElement);
  #bar = byId("context-bar", HTMLMeterElement);
  #text = byId("context-text", HTMLElement);
  /** Tokens; 0 while it is not known. */
  size = 0;

  /** @param {import("../chat/chat.js").Chat} chat */
  show(chat) {
    const last = chat.path.filter((message) => message.usage).at(-1);
    const used = last?.usage ? last.usage.prompt_tokens + last.usage.completion_tokens : 0;
    this.#meter.hidden = used === 0 || this.size === 0;
    if (this.#meter.hidden) return;
    this.#bar.value = Math.min(1, used / this.size);
    this.#text.textContent = t("context.used", { used: number(used), size: number(this.size) });
    this.#meter.title = t("context.title");
  }
}
