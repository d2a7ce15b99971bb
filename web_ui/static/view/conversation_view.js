// @ts-check
/**
 * Keeps the list of messages on the page in step with the chat that is shown.
 * @module
 */

import { announce } from "../announcer.js";
import { t } from "../i18n.js";
import { MessageView } from "./message_view.js";
import { errorText } from "./message_facts.js";

/**
 * @typedef {import("../chat/message.js").Message} Message
 * @typedef {import("../chat/chat.js").Chat} Chat
 * @typedef {import("./message_view.js").MessageActions} MessageActions
 */

export class ConversationView {
  /** What the assistant is called. */
  assistantName = "";
  /** @type {Map<Message, MessageView>} */
  #views = new Map();
  /** @type {Chat | null} */
  #chat = null;
  #list;
  #actions;

  /**
   * @param {HTMLElement} list
   * @param {MessageActions} actions
   */
  constructor(list, actions) {
    this.#list = list;
    this.#actions = actions;
  }

  /**
   * Shows a chat from its beginning.
   * @param {Chat} chat
   */
  show(chat) {
    this.#chat = chat;
    this.#views.clear();
    this.#list.replaceChildren();
    this.sync();
  }

  /** Brings the list in line with the chat's path; messages that are still there keep their nodes. */
  sync() {
    const chat = this.#chat;
    if (!chat) return;
    const path = chat.path.filter((message) => message.role !== "system");
    const wanted = new Set(path);
    for (const [message, view] of this.#views) {
      if (wanted.has(message)) continue;
      view.element.remove();
      this.#views.delete(message);
    }
    const made = document.createDocumentFragment();
    for (const message of path) if (!this.#views.has(message)) made.append(this.#viewOf(message).element);
    this.#list.append(made);
    this.#place(chat, path);
  }

  /**
   * @param {Message} message
   * @param {string} piece
   * @param {"text" | "reasoning"} kind
   */
  grown(message, piece, kind) {
    this.#views.get(message)?.grow(piece, kind);
  }

  /** @param {Message} message */
  changed(message) {
    const view = this.#views.get(message);
    if (!view || !this.#chat) return;
    view.update();
    this.sync();
    if (message.role !== "assistant") return;
    if (message.state === "done") announce(t("announce.says", { name: this.assistantName, text: message.content }));
    if (message.state === "stopped") announce(t("message.stopped"));
    if (message.state === "failed") announce(errorText(message.error));
  }

  /**
   * @param {Message} message
   * @returns {MessageView}
   */
  #viewOf(message) {
    const speaker =
      message.role === "user" ? t("message.you") : message.role === "tool" ? t("tools.result") : this.assistantName;
    const view = new MessageView(message, speaker, this.#actions);
    this.#views.set(message, view);
    return view;
  }

  /**
   * @param {Chat} chat
   * @param {Message[]} path
   */
  #place(chat, path) {
    const { busy, canProceed } = chat;
    path.forEach((message, index) => {
      const isLast = index === path.length - 1;
      this.#views
        .get(message)
        ?.place({ versions: chat.versions(message), isLast, canProceed: isLast && canProceed, busy });
    });
  }
}
