// @ts-check
/**
 * Messages of a chat: a tree in which every message knows the one that it answers. Knows neither the page nor the API.
 * @module
 */

/**
 * @typedef {"waiting" | "streaming" | "done" | "stopped" | "failed"} MessageState
 * @typedef {{name: string, media_type: string, size_bytes: number, text?: string | null, image_url?: string | null,
 *   truncated?: boolean}} Attachment
 * @typedef {{first_token_ms?: number, reasoning_ms?: number, generation_ms?: number, generated_tokens?: number}} Timings
 */

/**
 * @typedef {object} Message
 * @property {string | null} id the store's, once it is kept there
 * @property {Message | null} parent
 * @property {Message[]} children the branches that begin after this message
 * @property {Message | null} chosen the branch that is shown
 * @property {"user" | "assistant" | "system" | "tool"} role
 * @property {string} content
 * @property {string} reasoning
 * @property {any[]} tool_calls
 * @property {string | null} tool_call_id
 * @property {Attachment[]} attachments
 * @property {MessageState} state
 * @property {Error | null} error
 * @property {string | null} finish_reason OpenAI's word for why the answer ended
 * @property {import("../api/answers.js").Usage | null} usage
 * @property {Timings} timings
 */

/**
 * @param {Message["role"]} role
 * @param {Partial<Message>} fields
 * @returns {Message}
 */
export function makeMessage(role, fields = {}) {
  return {
    id: null,
    parent: null,
    children: [],
    chosen: null,
    role,
    content: "",
    reasoning: "",
    tool_calls: [],
    tool_call_id: null,
    attachments: [],
    state: "done",
    error: null,
    finish_reason: null,
    usage: null,
    timings: {},
    ...fields,
  };
}

/**
 * @param {any} stored a message as the store gives it
 * @returns {Message} without its place in the tree
 */
export function readMessage(stored) {
  const state = stored.state === "streaming" ? "stopped" : (stored.state ?? "done");
  return makeMessage(stored.role, {
    id: stored.id,
    content: stored.content ?? "",
    reasoning: stored.reasoning ?? "",
    tool_calls: stored.tool_calls ?? [],
    tool_call_id: stored.tool_call_id ?? null,
    attachments: stored.attachments ?? [],
    state,
    error: state === "failed" ? new Error(stored.error ?? "") : null,
    finish_reason: stored.finish_reason ?? null,
    usage: stored.usage ?? null,
    timings: stored.timings ?? {},
  });
}

/**
 * @param {Message} message
 * @returns {Record<string, any>} what the store keeps of a message that changes while it is written
 */
export function changingFields({ content, reasoning, tool_calls, state, finish_reason, usage, timings }) {
  const kept = state === "waiting" ? "streaming" : state;
  return {
    content,
    reasoning: reasoning || null,
    tool_calls: tool_calls.length > 0 ? tool_calls : null,
    state: kept,
    finish_reason,
    usage,
    timings,
  };
}

/**
 * @param {Message} message
 * @returns {number | null} generated tokens per second, or null when too little is known
 */
export function tokensPerSecond({ usage, timings }) {
  // The clock starts with the first token, so that one does not count.
  const counted = (timings.generated_tokens ?? usage?.completion_tokens ?? 0) - 1;
  const time_s = (timings.generation_ms ?? 0) / 1000;
  return counted > 0 && time_s > 0.01 ? counted / time_s : null;
}

/** @param {Message} message */
export function isOpen({ state }) {
  return state === "waiting" || state === "streaming";
}
