// @ts-check
/**
 * Keeps the list of messages on the page in step with a chat.
 * @module
 */

import { announce } from "./announcer.js";
import { errorText, MessageView } from "./message_view.js";

/**
 * @typedef {import("./chat.js").Message} Message
 * @typedef {import("./chat.js").ChatListener} ChatListener
 */

/** @implements {ChatListener} */
export class ConversationView {
  /** What the assistant is called. */
  assistantName = "Assistant";
  /** @type {Map<Message, MessageView>} */
  #views = new Map();
  #list;
  #onRegenerate;
  #onBusy;

  /**
   * @param {HTMLElement} list
   * @param {{onRegenerate: () => void, onBusy: (busy: boolean) => void}} handlers
   */
  constructor(list, { onRegenerate, onBusy }) {
    this.#list = list;
    this.#onRegenerate = onRegenerate;
    this.#onBusy = onBusy;
  }

  /** @param {Message} message */
  added(message) {
    const speaker = message.role === "user" ? "You" : this.assistantName;
    const view = new MessageView(message, speaker, this.#onRegenerate);
    this.#views.set(message, view);
    this.#list.append(view.element);
  }

  /**
   * @param {Message} message
   * @param {string} piece
   */
  grown(message, piece) {
    this.#views.get(message)?.grow(piece);
  }

  /** @param {Message} message */
  changed(message) {
    const view = this.#views.get(message);
    if (!view) return;
    view.update(this.#onRegenerate);
    if (message.state === "done") announce(`${this.assistantName} says: ${message.text}`);
    if (message.state === "stopped") announce("Stopped.");
    if (message.state === "failed") announce(errorText(message.error));
  }

  /** @param {Message} message */
  removed(message) {
    this.#views.get(message)?.element.remove();
    this.#views.delete(message);
  }

  /** @param {boolean} busy */
  busyChanged(busy) {
    this.#onBusy(busy);
  }
}
