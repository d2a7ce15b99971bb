// @ts-check
/**
 * The program itself: how far it is, what it is, and its end.
 * @module
 */

import { call, errorOf, readJson, send } from "./http.js";

const TIMEOUT_MS = 8000;

/**
 * @typedef {{state: "ready"} | {state: "loading", stage: string, progress: number | null}
 *   | {state: "failed", message: string}} Health
 */

/**
 * @typedef {object} Info
 * @property {string} title
 * @property {Record<string, any> | null} model
 * @property {{name: string, why: string} | null} device
 * @property {string} cpu_variant
 * @property {{count: number, why: string} | null} threads
 * @property {{size_tokens: number, why: string} | null} context
 * @property {Record<string, any> | null} [memory]
 * @property {string} address
 * @property {string} version
 * @property {{system_prompt: string, greeting: string, starters: string[]}} chat
 * @property {Record<string, any>} sampling
 * @property {string[]} locked
 * @property {{enabled: boolean, why: string, path: string | null}} [history]
 * @property {{images: boolean, why: string, max_bytes: number, types: string[]}} [attachments]
 */

/**
 * @returns {Promise<Health>}
 * Rejects with UnreachableError.
 */
export async function getHealth() {
  const response = await send("/health", { signal: AbortSignal.timeout(TIMEOUT_MS) });
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
  return await call("GET", "/api/info");
}

/** Asks the program to end. Rejects with ApiError or UnreachableError. */
export async function quit() {
  await call("POST", "/api/quit");
}
