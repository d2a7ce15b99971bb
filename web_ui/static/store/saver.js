// @ts-check
/**
 * Brings what happens in a chat into the store, in the order in which it happened and without making anyone wait.
 *
 * An answer being written is saved twice a second. What could not be saved is tried again with the next change.
 * @module
 */

import { changingFields, isOpen } from "../chat/message.js";

/**
 * @typedef {import("../chat/chat.js").Chat} Chat
 * @typedef {import("../chat/message.js").Message} Message
 * @typedef {import("./remote_store.js").ChatStore} ChatStore
 */

const INTERVAL_MS = 500;
const LONGEST_TITLE = 60;

export class Saver {
  /** @type {WeakMap<Chat, Promise<void>>} the last work that was queued */
  #queues = new WeakMap();
  /** @type {Set<Chat>} */
  #saving = new Set();
  /** @type {WeakMap<Message, number>} when an open message was last saved */
  #saved_ms = new WeakMap();
  /** @type {WeakSet<Message>} changed since they were last saved */
  #unsaved = new WeakSet();
  #store;
  #onSaved;
  #onProblem;

  /**
   * @param {ChatStore} store
   * @param {{onSaved: (chat: Chat) => void, onProblem: (error: unknown) => void}} handlers
   */
  constructor(store, { onSaved, onProblem }) {
    this.#store = store;
    this.#onSaved = onSaved;
    this.#onProblem = onProblem;
  }

  /**
   * Saves the chat itself if it is new, and all of its messages that are.
   * @param {Chat} chat
   */
  pathChanged(chat) {
    const { last } = chat;
    if (!last) return;
    this.#enqueue(chat, async () => {
      const current = chat.last;
      if (!current) return;
      const isKnown = current.id !== null;
      const id = await this.#ensureMessage(chat, current);
      if (isKnown && chat.id) await this.#store.change(chat.id, { current_message_id: id });
    });
  }

  /**
   * Saves how far an answer is, if that was not done just now.
   * @param {Chat} chat
   * @param {Message} message
   */
  grown(chat, message) {
    const now_ms = performance.now();
    if (now_ms - (this.#saved_ms.get(message) ?? now_ms - INTERVAL_MS) < INTERVAL_MS) return;
    this.#saved_ms.set(message, now_ms);
    this.#saveMessage(chat, message);
  }

  /**
   * @param {Chat} chat
   * @param {Message} message whose state changed
   */
  changed(chat, message) {
    if (!isOpen(message)) this.#saveMessage(chat, message);
  }

  /**
   * @param {Chat} chat
   * @param {Record<string, any>} fields
   */
  changeChat(chat, fields) {
    Object.assign(chat, fields);
    if (chat.id === null) return;
    this.#enqueue(chat, async () => {
      if (chat.id) await this.#store.change(chat.id, fields);
    });
  }

  /**
   * Saves the last answer while the page is being closed, if it is open or the store lacks something of it.
   * @param {Chat} chat
   */
  lastWord(chat) {
    const { last } = chat;
    if (!last?.id || !chat.id) return;
    if (!isOpen(last) && !this.#unsaved.has(last) && !this.#saving.has(chat)) return;
    const state = isOpen(last) ? "stopped" : last.state;
    this.#store.changeMessage(chat.id, last.id, { ...changingFields(last), state }, true).catch(() => undefined);
  }

  /**
   * Tries again to save what could not be.
   * @param {Chat} chat
   * @returns {boolean} whether there was anything
   */
  saveAgain(chat) {
    const unsaved = chat.everyMessage.filter((message) => message.id === null || this.#unsaved.has(message));
    if (unsaved.length > 0) this.pathChanged(chat);
    for (const message of unsaved) this.#saveMessage(chat, message);
    return unsaved.length > 0;
  }

  /** @returns {ReadonlySet<Chat>} chats of which the store lacks something yet */
  get saving() {
    return this.#saving;
  }

  /**
   * @param {Chat} chat
   * @returns {Promise<void> | undefined} settled when all is saved that can be; another one after each change
   */
  lastWork(chat) {
    return this.#queues.get(chat);
  }

  /**
   * @param {Chat} chat
   * @param {Message} message
   */
  #saveMessage(chat, message) {
    this.#unsaved.add(message);
    this.#enqueue(chat, async () => {
      const id = await this.#ensureMessage(chat, message);
      this.#unsaved.delete(message);
      try {
        if (chat.id) await this.#store.changeMessage(chat.id, id, changingFields(message));
      } catch (error) {
        this.#unsaved.add(message);
        throw error;
      }
    });
  }

  /**
   * @param {Chat} chat
   * @param {() => Promise<void>} work
   */
  #enqueue(chat, work) {
    const before = this.#queues.get(chat) ?? Promise.resolve();
    const done = before
      .then(work)
      .then(
        () => this.#onSaved(chat),
        (error) => this.#onProblem(error),
      )
      .finally(() => {
        if (this.#queues.get(chat) === done) this.#saving.delete(chat);
      });
    this.#queues.set(chat, done);
    this.#saving.add(chat);
  }

  /**
   * @param {Chat} chat
   * @param {Message} message
   * @returns {Promise<string>} its id in the store
   */
  async #ensureMessage(chat, message) {
    if (message.id !== null) return message.id;
    const chatId = await this.#ensureChat(chat);
    const parentId = message.parent ? await this.#ensureMessage(chat, message.parent) : null;
    const { role, attachments, tool_call_id } = message;
    const fields = { parent_id: parentId, role, attachments, tool_call_id, ...changingFields(message) };
    const made = await this.#store.addMessage(chatId, fields);
    message.id = String(made.id);
    return message.id;
  }

  /**
   * @param {Chat} chat
   * @returns {Promise<string>}
   */
  async #ensureChat(chat) {
    if (chat.id !== null) return chat.id;
    const { title, folder, pinned, settings } = chat;
    const made = await this.#store.create({ title, folder, pinned, settings });
    chat.id = String(made.id);
    chat.updated_at = String(made.updated_at ?? "");
    return chat.id;
  }
}

/**
 * @param {string} text the first message
 * @param {string} fallback where it has no words, such as the name of an attached file
 * @returns {string}
 */
export function titleOf(text, fallback) {
  const line =
    text
      .split("\n")
      .map((part) => part.trim())
      .find(Boolean) ?? fallback;
  const characters = [...line];
  return characters.length <= LONGEST_TITLE
    ? line
    : `${characters
        .slice(0, LONGEST_TITLE - 1)
        .join("")
        .trimEnd()}…`;
}
