// @ts-check
/**
 * Chats for as long as the page is open, where the program keeps none (`--no-history`). Answers as the API would.
 * @module
 */

import { ApiError } from "../api/http.js";
import { toMarkdown } from "./transcript.js";

/** @typedef {import("./remote_store.js").ChatStore} ChatStore */

/** @implements {ChatStore} */
export class MemoryStore {
  isKept = false;
  /** @type {Map<string, any>} */
  #chats = new Map();
  /** @type {Map<string, any>} */
  #removed = new Map();
  #numIds = 0;

  /** @param {string} query */
  async list(query) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [...this.#chats.values()].filter((chat) => {
      const text = [chat.title, ...chat.messages.map((/** @type {any} */ message) => message.content)]
        .join("\n")
        .toLowerCase();
      return words.every((word) => text.includes(word));
    });
    found.sort(
      (one, other) => Number(other.pinned) - Number(one.pinned) || other.updated_at.localeCompare(one.updated_at),
    );
    return found.map(({ messages, settings, ...chat }) => ({ ...chat, num_messages: messages.length }));
  }

  /** @param {string} id */
  async get(id) {
    return structuredClone(this.#find(id));
  }

  /** @param {Record<string, any>} fields */
  async create(fields) {
    const now = new Date().toISOString();
    const empty = { title: "", folder: null, pinned: false, settings: {}, current_message_id: null, messages: [] };
    const made = { ...empty, ...fields, id: this.#newId(), created_at: now, updated_at: now };
    this.#chats.set(made.id, made);
    return structuredClone(made);
  }

  /**
   * @param {string} id
   * @param {Record<string, any>} fields
   */
  async change(id, fields) {
    return structuredClone(Object.assign(this.#find(id), fields));
  }

  /** @param {string} id */
  async remove(id) {
    this.#removed.set(id, this.#find(id));
    this.#chats.delete(id);
  }

  /** @param {string} id */
  async restore(id) {
    this.#chats.set(id, this.#removed.get(id));
    this.#removed.delete(id);
  }

  /**
   * @param {string} id
   * @param {Record<string, any>} fields
   */
  async addMessage(id, fields) {
    const chat = this.#find(id);
    const made = { ...structuredClone(fields), id: this.#newId(), created_at: new Date().toISOString() };
    chat.messages.push(made);
    chat.current_message_id = made.id;
    chat.updated_at = made.created_at;
    return made;
  }

  /**
   * @param {string} id
   * @param {string} messageId
   * @param {Record<string, any>} fields
   */
  async changeMessage(id, messageId, fields) {
    const message = this.#find(id).messages.find((/** @type {any} */ entry) => entry.id === messageId);
    Object.assign(message ?? {}, structuredClone(fields));
  }

  /**
   * @param {string | null} id
   * @param {import("./remote_store.js").Format} format
   */
  async exported(id, format) {
    const chats = id === null ? [...this.#chats.values()] : [this.#find(id)];
    const isJson = format === "json";
    const text = isJson
      ? JSON.stringify({ format: "packer-chats", version: 1, chats }, null, 1)
      : chats.map(toMarkdown).join("\n\n");
    return {
      name: isJson ? "chats.json" : "chats.md",
      blob: new Blob([text], { type: isJson ? "application/json" : "text/markdown" }),
    };
  }

  /** @param {File} file */
  async imported(file) {
    const document = JSON.parse(await file.text());
    const chats = document.chats ?? [document];
    if (!Array.isArray(chats) || !chats.every((chat) => Array.isArray(chat?.messages))) {
      throw new ApiError(`${file.name}: expected chats as this program exports them as JSON.`);
    }
    for (const chat of chats) {
      const made = await this.create({ title: chat.title, folder: chat.folder ?? null, pinned: Boolean(chat.pinned) });
      Object.assign(this.#find(made.id), {
        messages: chat.messages,
        current_message_id: chat.current_message_id ?? null,
      });
    }
    return chats.length;
  }

  /** @param {string} id */
  #find(id) {
    const found = this.#chats.get(id);
    if (!found) throw new ApiError("There is no such chat.", "not_found", 404);
    return found;
  }

  #newId() {
    this.#numIds += 1;
    return `here-${this.#numIds}`;
  }
}
