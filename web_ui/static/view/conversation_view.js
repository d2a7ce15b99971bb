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

/** How many messages are shown at once when a chat is opened; the earlier ones follow while nobody waits. */
const AT_ONCE = 12;
/** How many of those are added at a time: each time costs styles and layout of the whole page anew. */
const EARLIER_AT_ONCE = 48;
const IDLE_TIMEOUT_MS = 100;

export class ConversationView {
  /** What the assistant is called. */
  assistantName = "";
  /** @type {Map<Message, MessageView>} */
  #views = new Map();
  /** @type {Chat | null} */
  #chat = null;
  /** The place in the path of the first message that is shown. */
  #first = 0;
  /** Counts the chats shown, so that work for an earlier one is given up. */
  #numShown = 0;
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
    this.#numShown += 1;
    this.#views.clear();
    this.#list.replaceChildren();
    this.#first = Math.max(0, this.#path(chat).length - AT_ONCE);
    this.sync();
    this.#showEarlier(this.#numShown);
  }

  /** Brings the list in line with the chat's path; messages that are still there keep their nodes. */
  sync() {
    const chat = this.#chat;
    if (!chat) return;
    const path = this.#path(chat).slice(this.#first);
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

  /** @param {Chat} chat */
  #path(chat) {
    return chat.path.filter((message) => message.role !== "system");
  }

  /** @param {number} numShown when it was asked for */
  #showEarlier(numShown) {
    if (this.#first === 0) return;
    const work = () => {
      if (!this.#chat || numShown !== this.#numShown) return;
      const end = this.#first;
      this.#first = Math.max(0, end - EARLIER_AT_ONCE);
      const path = this.#path(this.#chat).slice(this.#first, end);
      this.#list.prepend(...path.map((message) => this.#viewOf(message).element));
      this.#place(this.#chat, path);
      this.#showEarlier(numShown);
    };
    // What is there already is drawn first.
    requestAnimationFrame(() => {
      if ("requestIdleCallback" in window) requestIdleCallback(work, { timeout: IDLE_TIMEOUT_MS });
      else setTimeout(work, 0);
    });
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
    path.forEach((message) => {
      const isLast = message === chat.last;
      this.#views
        .get(message)
        ?.place({ versions: chat.versions(message), isLast, canProceed: isLast && canProceed, busy });
    });
  }
}
