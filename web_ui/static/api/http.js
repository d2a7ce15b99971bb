// @ts-check
/**
 * Requests to the program this page came from, and what can go wrong with them.
 * @module
 */

const TIMEOUT_MS = 15_000;

/** The API answered, with an error. `code` is OpenAI's, such as `context_length_exceeded`. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {string | null} code
   * @param {number} status
   */
  constructor(message, code = null, status = 0) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
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
 * Sends JSON and reads JSON. Rejects with ApiError or UnreachableError.
 * @param {string} method
 * @param {string} path
 * @param {unknown} body
 * @param {RequestInit} options
 * @returns {Promise<any>}
 */
export async function call(method, path, body = undefined, options = {}) {
  const json =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const response = await send(path, { method, signal: AbortSignal.timeout(TIMEOUT_MS), ...json, ...options });
  const answer = await readJson(response);
  if (!response.ok) throw errorOf(response, answer);
  return answer;
}

/**
 * @param {string} path
 * @param {RequestInit} options
 * @returns {Promise<Response>}
 */
export async function send(path, options) {
  try {
    return await fetch(path, { cache: "no-store", credentials: "omit", ...options });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new UnreachableError("The program does not answer.");
  }
}

/**
 * @param {Response} response
 * @returns {Promise<any>} the JSON value, or an empty object when there is none
 */
export async function readJson(response) {
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
export function errorOf(response, body) {
  const message = body.error?.message;
  const fallback = `The program answered with the status ${response.status} and no explanation.`;
  const text = typeof message === "string" && message ? message : fallback;
  return new ApiError(text, body.error?.code ?? null, response.status);
}
