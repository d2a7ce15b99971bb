// @ts-check
/**
 * Chats as the program keeps them on disk; every browser on this machine sees the same ones.
 * @module
 */

import { call, errorOf, readJson, send } from "../api/http.js";

/**
 * @typedef {{id: string, title: string, pinned: boolean, folder: string | null, created_at: string, updated_at: string,
 *   num_messages: number, snippet?: string}} ChatSummary
 * @typedef {"json" | "markdown"} Format
 */

/**
 * @typedef {object} ChatStore
 * @property {boolean} isKept whether chats are there on the next start
 * @property {(query: string) => Promise<ChatSummary[]>} list
 * @property {(id: string) => Promise<any>} get
 * @property {(fields: Record<string, any>) => Promise<any>} create
 * @property {(id: string, fields: Record<string, any>) => Promise<any>} change
 * @property {(id: string) => Promise<void>} remove
 * @property {(id: string) => Promise<void>} restore
 * @property {(id: string, fields: Record<string, any>) => Promise<any>} addMessage
 * @property {(id: string, messageId: string, fields: Record<string, any>, isLast?: boolean) => Promise<void>} changeMessage
 * @property {(id: string | null, format: Format) => Promise<{name: string, blob: Blob}>} exported
 * @property {(file: File) => Promise<number>} imported
 */

const EXPORT_TIMEOUT_MS = 120_000;
/** What a browser lets a page send while it is being closed. */
const LARGEST_LAST_WORD = 60_000;

/** @implements {ChatStore} */
export class RemoteStore {
  isKept = true;

  /** @param {string} query words to look for; all chats without */
  async list(query) {
    const { chats } = await call("GET", `/api/chats?query=${encodeURIComponent(query)}`);
    return chats;
  }

  /** @param {string} id */
  async get(id) {
    return await call("GET", chatPath(id));
  }

  /** @param {Record<string, any>} fields */
  async create(fields) {
    return await call("POST", "/api/chats", fields);
  }

  /**
   * @param {string} id
   * @param {Record<string, any>} fields
   */
  async change(id, fields) {
    return await call("PATCH", chatPath(id), fields);
  }

  /** @param {string} id */
  async remove(id) {
    await call("DELETE", chatPath(id));
  }

  /** @param {string} id */
  async restore(id) {
    await call("POST", `${chatPath(id)}/restore`);
  }

  /**
   * @param {string} id
   * @param {Record<string, any>} fields
   */
  async addMessage(id, fields) {
    return await call("POST", `${chatPath(id)}/messages`, fields);
  }

  /**
   * @param {string} id
   * @param {string} messageId
   * @param {Record<string, any>} fields
   * @param {boolean} isLast whether the page is about to close
   */
  async changeMessage(id, messageId, fields, isLast = false) {
    const keepalive = isLast && JSON.stringify(fields).length < LARGEST_LAST_WORD;
    await call("PATCH", `${chatPath(id)}/messages/${encodeURIComponent(messageId)}`, fields, { keepalive });
  }

  /**
   * @param {string | null} id one chat, or all
   * @param {Format} format
   */
  async exported(id, format) {
    const path = id === null ? "/api/chats/export" : `${chatPath(id)}/export`;
    const response = await send(`${path}?format=${format}`, { signal: AbortSignal.timeout(EXPORT_TIMEOUT_MS) });
    if (!response.ok) throw errorOf(response, await readJson(response));
    const name =
      fileName(response.headers.get("Content-Disposition") ?? "") ?? `chats.${format === "json" ? "json" : "md"}`;
    return { name, blob: await response.blob() };
  }

  /** @param {File} file */
  async imported(file) {
    const type = file.name.toLowerCase().endsWith(".md") ? "text/markdown" : "application/json";
    const options = { headers: { "Content-Type": type }, body: file, signal: AbortSignal.timeout(EXPORT_TIMEOUT_MS) };
    const answer = await call("POST", "/api/chats/import", undefined, options);
    return Number(answer.imported);
  }
}

/** @param {string} id */
function chatPath(id) {
  return `/api/chats/${encodeURIComponent(id)}`;
}

/**
 * @param {string} disposition RFC 6266
 * @returns {string | null}
 */
function fileName(disposition) {
  const extended = /filename\*=UTF-8''([^;]+)/i.exec(disposition);
  if (extended) return decodeURIComponent(extended[1]);
  return /filename="?([^";]+)"?/i.exec(disposition)?.[1] ?? null;
}
