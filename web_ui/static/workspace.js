// @ts-check
/**
 * The chats that are open: the one that is shown, and others in which an answer is still being written.
 * @module
 */

import { Chat } from "./chat/chat.js";
import { Saver, titleOf } from "./store/saver.js";

/**
 * @typedef {import("./store/remote_store.js").ChatStore} ChatStore
 * @typedef {import("./chat/message.js").Message} Message
 * @typedef {import("./chat/chat.js").ChatListener} ChatListener
 */

/**
 * @typedef {object} WorkspaceHandlers
 * @property {import("./chat/chat.js").Ask} ask
 * @property {(chat: Chat) => void} onShow another chat is shown
 * @property {(chat: Chat) => void} onSync the shown chat's path changed
 * @property {(chat: Chat, message: Message, piece: string, kind: "text" | "reasoning") => void} onGrown
 * @property {(chat: Chat, message: Message) => void} onChanged
 * @property {() => void} onListChanged
 * @property {(error: unknown) => void} onProblem a chat could not be kept
 */

/** @implements {ChatListener} */
export class Workspace {
  /** @type {Chat} */
  current;
  /** @type {Set<Chat>} */
  #busy = new Set();
  /** What a new chat begins with. @type {Record<string, any>} */
  #newSettings;
  /** Counts the wishes to see another chat, so that only the last one is fulfilled. */
  #wish = 0;
  #handlers;
  #saver;
  #store;

  /**
   * @param {ChatStore} store
   * @param {Record<string, any>} newSettings what a new chat begins with
   * @param {WorkspaceHandlers} handlers
   */
  constructor(store, newSettings, handlers) {
    this.#store = store;
    this.#newSettings = newSettings;
    this.#handlers = handlers;
    this.#saver = new Saver(store, { onSaved: () => handlers.onListChanged(), onProblem: handlers.onProblem });
    this.current = this.#emptyChat();
  }

  get store() {
    return this.#store;
  }

  /** @returns {ReadonlySet<string>} the chats in which an answer is being written */
  get writing() {
    return new Set([...this.#busy].flatMap(({ id }) => (id ? [id] : [])));
  }

  /** Shows an empty chat; it is kept from its first message on. */
  startChat() {
    this.#wish += 1;
    if (!this.#store.isKept) this.current.stop();
    this.#show(this.#emptyChat());
  }

  /**
   * @param {string} id
   * @returns {Promise<void>} rejects with ApiError or UnreachableError
   */
  async open(id) {
    const wish = (this.#wish += 1);
    if (this.current.id === id) return;
    const newer = [...this.#busy, ...this.#saver.saving].find((chat) => chat.id === id);
    if (newer) {
      this.#show(newer);
      return;
    }
    const stored = await this.#store.get(id);
    if (wish !== this.#wish) return;
    this.#show(this.#chatOf(stored));
  }

  /**
   * Looks whether the shown chat was changed elsewhere, as by another browser.
   * @param {() => boolean} mayShow whether the chat's messages may be drawn anew
   */
  async refresh(mayShow) {
    const chat = this.current;
    if (chat.busy || !chat.last) return;
    const work = this.#saver.lastWork(chat);
    await work;
    // Nothing is taken from the store before what it lacks is there.
    if (this.#saver.saveAgain(chat) || !chat.id) return;
    const stored = await this.#store.get(chat.id);
    // What happened here meanwhile is newer than what the store answered.
    if (chat !== this.current || work !== this.#saver.lastWork(chat) || !mayShow()) return;
    const other = this.#chatOf(stored);
    if (!isSame(chat, other)) this.#show(other);
  }

  /**
   * @param {string} text
   * @param {import("./chat/message.js").Attachment[]} attachments
   */
  send(text, attachments) {
    if (!this.current.title) this.current.title = titleOf(text, attachments[0]?.name ?? "");
    this.current.send(text, attachments);
  }

  /**
   * @param {Chat} chat
   * @param {Record<string, any>} fields
   */
  change(chat, fields) {
    this.#saver.changeChat(chat, fields);
  }

  /**
   * Takes what was changed of a chat in the store.
   * @param {string} id
   * @param {Record<string, any>} fields
   */
  changedInStore(id, fields) {
    for (const chat of [this.current, ...this.#busy]) if (chat.id === id) Object.assign(chat, fields);
    if (this.current.id === id) this.#handlers.onSync(this.current);
  }

  /** @param {Record<string, any>} settings of this chat and of new ones */
  useSettings(settings) {
    this.#newSettings = settings;
    this.change(this.current, { settings });
  }

  /** To be called when the page is about to close. */
  leave() {
    // What the closing page breaks off was stopped: no network error may be told and saved after the last word.
    this.stopAll();
    for (const chat of new Set([this.current, ...this.#busy, ...this.#saver.saving])) this.#saver.lastWord(chat);
  }

  /** Stops every answer. */
  stopAll() {
    for (const chat of this.#busy) chat.stop();
  }

  /** @param {Chat} chat */
  pathChanged(chat) {
    this.#saver.pathChanged(chat);
    if (chat === this.current) this.#handlers.onSync(chat);
  }

  /**
   * @param {Chat} chat
   * @param {Message} message
   * @param {string} piece
   * @param {"text" | "reasoning"} kind
   */
  grown(chat, message, piece, kind) {
    this.#saver.grown(chat, message);
    if (chat === this.current) this.#handlers.onGrown(chat, message, piece, kind);
  }

  /**
   * @param {Chat} chat
   * @param {Message} message
   */
  changed(chat, message) {
    this.#saver.changed(chat, message);
    if (chat === this.current) this.#handlers.onChanged(chat, message);
  }

  /** @param {Chat} chat */
  busyChanged(chat) {
    if (chat.busy) this.#busy.add(chat);
    else this.#busy.delete(chat);
    if (chat === this.current) this.#handlers.onSync(chat);
    this.#handlers.onListChanged();
  }

  /** @param {Chat} chat */
  #show(chat) {
    this.current = chat;
    this.#handlers.onShow(chat);
  }

  #emptyChat() {
    const chat = new Chat(this.#handlers.ask, this);
    chat.settings = { ...this.#newSettings };
    return chat;
  }

  /** @param {any} stored */
  #chatOf(stored) {
    const chat = new Chat(this.#handlers.ask, this);
    chat.load(stored);
    return chat;
  }
}

/**
 * @param {Chat} chat
 * @param {Chat} other
 * @returns {boolean} whether both say the same, in the same state
 */
function isSame(chat, other) {
  const theirs = new Map(other.everyMessage.map((message) => [message.id, message]));
  return (
    chat.title === other.title &&
    chat.everyMessage.length === theirs.size &&
    chat.everyMessage.every(({ id, content, state }) => {
      const one = theirs.get(id);
      return one?.content === content && one.state === state;
    })
  );
}
