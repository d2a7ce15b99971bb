// @ts-check
/**
 * The program's HTTP API as functions: health, facts, chat, quit. Knows nothing about the page.
 * @module
 */

import { readEvents } from "./sse.js";

const TIMEOUT_MS = 8000;

/**
 * @typedef {{state: "ready"} | {state: "loading", stage: string, progress: number | null}
 *   | {state: "failed", message: string}} Health
 * @typedef {{role: "system" | "user" | "assistant", content: string}} RequestMessage
 * @typedef {{messages: RequestMessage[], temperature?: number, max_tokens?: number}} ChatRequest
 * @typedef {{completion_tokens: number, prompt_tokens: number}} Usage
 * @typedef {{kind: "text", text: string} | {kind: "finish", reason: string}
 *   | {kind: "usage", usage: Usage}} ChatEvent
 */

/**
 * @typedef {object} Info
 * @property {string} title
 * @property {Record<string, any> | null} model
 * @property {{name: string, why: string} | null} device
 * @property {string} cpu_variant
 * @property {{count: number, why: string} | null} threads
 * @property {{size_tokens: number, why: string} | null} context
 * @property {string} address
 * @property {string} version
 * @property {{system_prompt: string, greeting: string, starters: string[]}} chat
 * @property {Record<string, any>} sampling
 * @property {string[]} locked
 */

/** The API answered, with an error. `code` is OpenAI's, such as `context_length_exceeded`. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {string | null} code
   */
  constructor(message, code = null) {
    super(message);
    this.name = "ApiError";
    this.code = code;
  }
}

/** Nothing answered, or the connection broke: the program is gone or going. */
export class UnreachableError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "UnreachableError";
  }
}

/**
 * @returns {Promise<Health>}
 * Rejects with UnreachableError.
 */
export async function getHealth() {
  const response = await request("/health", { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const body = await readJson(response);
  if (response.ok) return { state: "ready" };
  if (body.status === "loading") {
    const progress = typeof body.progress === "number" ? body.progress : null;
    return { state: "loading", stage: String(body.stage ?? "loading"), progress };
  }
  return { state: "failed", message: errorOf(response, body).message };
}

/**
 * @returns {Promise<Info>}
 * Rejects with ApiError or UnreachableError.
 */
export async function getInfo() {
  const response = await request("/api/info", { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const body = await readJson(response);
  if (!response.ok) throw errorOf(response, body);
  return /** @type {Info} */ (body);
}

/**
 * Asks the program to end. Rejects with ApiError or UnreachableError.
 * @returns {Promise<void>}
 */
export async function quit() {
  const response = await request("/api/quit", { method: "POST", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw errorOf(response, await readJson(response));
}

/**
 * Streams one answer. Throws ApiError or UnreachableError, and the signal's AbortError when it is stopped.
 * @param {ChatRequest} chat
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<ChatEvent, void, void>}
 */
export async function* streamChat(chat, signal) {
  const response = await request("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...chat, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) throw errorOf(response, await readJson(response));
  if (!response.body) throw new ApiError("The program sent an empty answer.");
  try {
    for await (const data of readEvents(response.body)) {
      if (data === "[DONE]") return;
      yield* chatEvents(JSON.parse(data));
    }
  } catch (error) {
    if (signal.aborted || error instanceof ApiError) throw error;
    if (error instanceof SyntaxError) throw new ApiError(`The program sent something unreadable (${error.message}).`);
    throw new UnreachableError("The connection broke before the answer was complete.");
  }
  throw new UnreachableError("The connection ended before the answer was complete.");
}

/**
 * @param {any} chunk one `chat.completion.chunk`, or an error sent in the middle of a stream
 * @returns {Generator<ChatEvent, void, void>}
 */
function* chatEvents(chunk) {
  if (chunk.error) throw new ApiError(String(chunk.error.message ?? "unknown error"), chunk.error.code ?? null);
  const choice = chunk.choices?.[0];
  if (choice?.delta?.content) yield { kind: "text", text: choice.delta.content };
  if (choice?.finish_reason) yield { kind: "finish", reason: choice.finish_reason };
  if (chunk.usage) yield { kind: "usage", usage: chunk.usage };
}

/**
 * @param {string} path
 * @param {RequestInit} options
 * @returns {Promise<Response>}
 */
async function request(path, options) {
  try {
    return await fetch(path, { ...options, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new UnreachableError("The program does not answer.");
  }
}

/**
 * @param {Response} response
 * @returns {Promise<any>} the JSON object, or an empty one when there is none
 */
async function readJson(response) {
  try {
    const body = await response.json();
    return body !== null && typeof body === "object" ? body : {};
  } catch {
    return {};
  }
}

/**
 * @param {Response} response
 * @param {any} body
 * @returns {ApiError}
 */
function errorOf(response, body) {
  const message = body.error?.message;
  const fallback = `The program answered with the status ${response.status} and no explanation.`;
  return new ApiError(typeof message === "string" && message ? message : fallback, body.error?.code ?? null);
}
