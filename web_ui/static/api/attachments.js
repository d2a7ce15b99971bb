// @ts-check
/**
 * Has the program read a file: texts are taken out of it on this machine.
 * @module
 */

import { errorOf, readJson, send } from "./http.js";

/**
 * Rejects with ApiError, UnreachableError, or the signal's AbortError.
 * @param {File} file
 * @param {AbortSignal} signal
 * @returns {Promise<import("../chat/message.js").Attachment>}
 */
export async function readFile(file, signal) {
  const body = new FormData();
  body.append("file", file, file.name);
  const response = await send("/api/attachments", { method: "POST", body, signal });
  const answer = await readJson(response);
  if (!response.ok) throw errorOf(response, answer);
  return answer;
}
