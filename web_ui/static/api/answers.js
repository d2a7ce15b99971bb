// @ts-check
/**
 * Answers of the model as they are written: new ones, and the rest of one that was broken off.
 * @module
 */

import { readEvents } from "../sse.js";
import { ApiError, errorOf, readJson, send, UnreachableError } from "./http.js";

/**
 * @typedef {{type: "text", text: string} | {type: "image_url", image_url: {url: string}}} ContentPart
 * @typedef {{role: string, content: string | ContentPart[] | null, tool_calls?: any[], tool_call_id?: string}} RequestMessage
 * @typedef {Record<string, any> & {messages: RequestMessage[]}} ChatRequest
 * @typedef {{completion_tokens: number, prompt_tokens: number}} Usage
 * @typedef {{kind: "text" | "reasoning", text: string} | {kind: "finish", reason: string} | {kind: "tool_calls", calls: any[]}
 *   | {kind: "usage", usage: Usage}} AnswerEvent
 */

/**
 * Streams one answer. Throws ApiError or UnreachableError, and the signal's AbortError when it is stopped.
 * @param {ChatRequest} request
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<AnswerEvent, void, void>}
 */
export async function* streamAnswer(request, signal) {
  const response = await send("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) throw errorOf(response, await readJson(response));
  if (!response.body) throw new ApiError("The program sent an empty answer.");
  try {
    for await (const data of readEvents(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(String(chunk.error.message ?? "unknown error"), chunk.error.code ?? null);
      yield* eventsOf(chunk);
      if (chunk.usage) yield { kind: "usage", usage: chunk.usage };
    }
  } catch (error) {
    if (signal.aborted || error instanceof ApiError) throw error;
    if (error instanceof SyntaxError) throw new ApiError(`The program sent something unreadable (${error.message}).`);
    throw new UnreachableError("The connection broke before the answer was complete.");
  }
  throw new UnreachableError("The connection ended before the answer was complete.");
}

/**
 * @param {any} chunk one `chat.completion.chunk`
 * @returns {Generator<AnswerEvent, void, void>}
 */
function* eventsOf(chunk) {
  const choice = chunk.choices?.[0];
  const delta = choice?.delta ?? {};
  if (delta.reasoning_content) yield { kind: "reasoning", text: delta.reasoning_content };
  if (delta.content) yield { kind: "text", text: delta.content };
  if (Array.isArray(delta.tool_calls)) yield { kind: "tool_calls", calls: delta.tool_calls };
  if (choice?.finish_reason) yield { kind: "finish", reason: choice.finish_reason };
}
