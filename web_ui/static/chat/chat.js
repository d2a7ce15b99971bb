// @ts-check
/**
 * One chat: a tree of messages, the path through it that is shown, and the answer being written. Knows neither the page
 * nor how requests are sent and chats are kept.
 * @module
 */

import { isOpen, makeMessage, readMessage } from "./message.js";
import { receiveAnswer } from "./answer.js";

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./message.js").Attachment} Attachment
 * @typedef {import("../api/answers.js").AnswerEvent} AnswerEvent
 */

/**
 * @typedef {object} ChatListener
 * @property {(chat: Chat) => void} pathChanged other messages are shown than before
 * @property {(chat: Chat, message: Message, piece: string, kind: "text" | "reasoning") => void} grown
 * @property {(chat: Chat, message: Message) => void} changed
 * @property {(chat: Chat) => void} busyChanged
 */

/**
 * Asks for the answer to `path`, or with `beginning` for the rest of an answer that begins so.
 * @callback Ask
 * @param {Chat} chat
 * @param {readonly Message[]} path
 * @param {AbortSignal} signal
 * @param {string | null} beginning
 * @returns {AsyncIterable<AnswerEvent>}
 */

export class Chat {
  /** @type {string | null} the store's, once it is kept there */
  id = null;
  title = "";
  pinned = false;
  /** @type {string | null} */
  folder = null;
  /** @type {Record<string, any>} what was changed of the packed settings */
  settings = {};
  updated_at = "";
  /** Above the first message and its other versions. */
  #root = makeMessage("system");
  /** @type {AbortController | null} */
  #controller = null;
  #ask;
  #listener;

  /**
   * @param {Ask} ask
   * @param {ChatListener} listener is told of every change
   */
  constructor(ask, listener) {
    this.#ask = ask;
    this.#listener = listener;
  }

  /** @returns {Message[]} the messages that are shown, first to last */
  get path() {
    /** @type {Message[]} */
    const path = [];
    for (let at = this.#root.chosen; at; at = at.chosen) path.push(at);
    return path;
  }

  /** Whether an answer is being written. */
  get busy() {
    return this.#controller !== null;
  }

  /** @returns {Message | undefined} */
  get last() {
    return this.path.at(-1);
  }

  /**
   * @param {Message} message
   * @returns {Message[]} it and what stands in its place in other branches
   */
  versions(message) {
    return (message.parent ?? this.#root).children;
  }

  /**
   * Takes the messages of a stored chat in place of all others.
   * @param {any} stored
   */
  load(stored) {
    Object.assign(this, {
      id: stored.id,
      title: stored.title ?? "",
      pinned: Boolean(stored.pinned),
      folder: stored.folder ?? null,
      settings: stored.settings ?? {},
      updated_at: stored.updated_at ?? "",
    });
    this.#root = makeMessage("system");
    const byId = new Map((stored.messages ?? []).map((/** @type {any} */ entry) => [entry.id, readMessage(entry)]));
    for (const entry of stored.messages ?? []) this.#attach(byId.get(entry.id), byId.get(entry.parent_id) ?? null);
    for (let at = byId.get(stored.current_message_id) ?? null; at; at = at.parent)
      (at.parent ?? this.#root).chosen = at;
  }

  /**
   * Adds what the user wrote and asks for an answer. Ignored while one is being written.
   * @param {string} content
   * @param {Attachment[]} attachments
   */
  send(content, attachments = []) {
    if (this.busy || (content.trim() === "" && attachments.length === 0)) return;
    this.#attach(makeMessage("user", { content, attachments }), this.last ?? null);
    void this.#answer(this.last ?? null);
  }

  /** Stops the answer being written; what is there stays. */
  stop() {
    this.#controller?.abort();
  }

  /**
   * Has an answer written once more, as another version of it.
   * @param {Message} message
   */
  regenerate(message) {
    if (this.busy || message.role !== "assistant") return;
    void this.#answer(message.parent);
  }

  /**
   * Has an answer that was broken off written to its end.
   * @param {Message} message
   */
  proceed(message) {
    if (this.busy || message !== this.last || message.role !== "assistant") return;
    void this.#answer(message.parent, message);
  }

  /**
   * Adds another version of a message. The model answers a user's one anew; an assistant's one stands as it is.
   * @param {Message} message
   * @param {string} content
   */
  edit(message, content) {
    if (this.busy || content.trim() === "" || content === message.content) return;
    const made = makeMessage(message.role, { content, attachments: message.attachments });
    this.#attach(made, message.parent);
    if (made.role === "user") void this.#answer(made);
    else {
      this.#listener.pathChanged(this);
      this.#listener.changed(this, made);
    }
  }

  /**
   * Shows another version of a message and what followed it.
   * @param {Message} message
   */
  choose(message) {
    if (this.busy) return;
    (message.parent ?? this.#root).chosen = message;
    this.#listener.pathChanged(this);
  }

  /**
   * @param {Message} message
   * @param {Message | null} parent
   */
  #attach(message, parent) {
    const above = parent ?? this.#root;
    message.parent = parent;
    above.children.push(message);
    above.chosen = message;
  }

  /**
   * @param {Message | null} parent the message to answer
   * @param {Message | null} begun the answer to carry on with
   */
  async #answer(parent, begun = null) {
    const controller = new AbortController();
    const message = begun ?? makeMessage("assistant");
    Object.assign(message, { state: "waiting", error: null, finish_reason: null });
    if (!begun) this.#attach(message, parent);
    this.#controller = controller;
    this.#listener.pathChanged(this);
    this.#listener.busyChanged(this);
    this.#listener.changed(this, message);
    const question = this.path.slice(0, this.path.indexOf(message));
    const events = this.#ask(this, question, controller.signal, begun ? begun.content : null);
    await receiveAnswer(message, events, controller.signal, {
      grown: (piece, kind) => this.#listener.grown(this, message, piece, kind),
      changed: () => this.#listener.changed(this, message),
    });
    this.#controller = null;
    this.#listener.busyChanged(this);
    this.#listener.changed(this, message);
  }

  /** @returns {Message[]} every message of every branch, parents before their children */
  get everyMessage() {
    /** @type {Message[]} */
    const found = [];
    const waiting = [...this.#root.children];
    for (let at = waiting.shift(); at; at = waiting.shift()) {
      found.push(at);
      waiting.push(...at.children);
    }
    return found;
  }

  /** Whether the last answer was broken off and can be carried on with; beside pictures it can only be written anew. */
  get canProceed() {
    const { last } = this;
    if (last?.role !== "assistant" || isOpen(last) || last.content === "" || last.tool_calls.length > 0) return false;
    if (this.path.some(({ attachments }) => attachments.some(({ image_url }) => image_url))) return false;
    return last.state !== "done" || last.finish_reason === "length";
  }
}
