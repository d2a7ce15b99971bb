// @ts-check
/**
 * Answers of the model as they are written: new ones, and the rest of one that was broken off.
 * @module
 */

import { readEvents } from "../sse.js";
import { ApiError, call, errorOf, readJson, send, UnreachableError } from "./http.js";

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
  yield* stream("/v1/chat/completions", request, signal, chatEvents);
}

/**
 * Streams what follows `text`, the beginning of the answer to the request: the prompt is made as for an answer, and the
 * model carries on behind it.
 * @param {ChatRequest} request
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<AnswerEvent, void, void>}
 */
export async function* streamRest(request, text, signal) {
  const { messages, ...sampling } = request;
  // An answer has begun, so the thinking is over.
  const template = { messages, chat_template_kwargs: { enable_thinking: false } };
  const { prompt } = await call("POST", "/apply-template", template, { signal });
  yield* stream("/v1/completions", { ...sampling, prompt: `${prompt}${text}` }, signal, textEvents);
}

/**
 * @param {string} path
 * @param {object} request
 * @param {AbortSignal} signal
 * @param {(chunk: any) => Iterable<AnswerEvent>} read
 * @returns {AsyncGenerator<AnswerEvent, void, void>}
 */
async function* stream(path, request, signal, read) {
  const response = await send(path, {
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
      yield* read(chunk);
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
function* chatEvents(chunk) {
  const choice = chunk.choices?.[0];
  const delta = choice?.delta ?? {};
  if (delta.reasoning_content) yield { kind: "reasoning", text: delta.reasoning_content };
  if (delta.content) yield { kind: "text", text: delta.content };
  if (Array.isArray(delta.tool_calls)) yield { kind: "tool_calls", calls: delta.tool_calls };
  if (choice?.finish_reason) yield { kind: "finish", reason: choice.finish_reason };
}

/**
 * @param {any} chunk one `text_completion`
 * @returns {Generator<AnswerEvent, void, void>}
 */
function* textEvents(chunk) {
  const choice = chunk.choices?.[0];
  if (choice?.text) yield { kind: "text", text: choice.text };
  if (choice?.finish_reason) yield { kind: "finish", reason: choice.finish_reason };
}
