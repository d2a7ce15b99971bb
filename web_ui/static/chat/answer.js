// @ts-check
/**
 * Writes an answer into its message as it comes, and takes the times.
 * @module
 */

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("../api/answers.js").AnswerEvent} AnswerEvent
 * @typedef {{grown: (piece: string, kind: "text" | "reasoning") => void, changed: () => void}} Progress
 */

/**
 * Settles when the answer has ended, one way or another: the message says which.
 * @param {Message} message
 * @param {AsyncIterable<AnswerEvent>} events
 * @param {AbortSignal} signal
 * @param {Progress} progress
 */
export async function receiveAnswer(message, events, signal, progress) {
  const clock = new Clock(message);
  try {
    for await (const event of events) {
      if (signal.aborted) break;
      take(message, event, clock, progress);
    }
    message.state = signal.aborted ? "stopped" : "done";
  } catch (error) {
    message.error = signal.aborted ? null : error instanceof Error ? error : new Error(String(error));
    message.state = signal.aborted ? "stopped" : "failed";
  }
}

/**
 * @param {Message} message
 * @param {AnswerEvent} event
 * @param {Clock} clock
 * @param {Progress} progress
 */
function take(message, event, clock, progress) {
  if (event.kind === "finish") message.finish_reason = event.reason;
  else if (event.kind === "usage") clock.counted(event.usage);
  else {
    clock.ticked(event.kind);
    const begins = message.state === "waiting";
    message.state = "streaming";
    if (event.kind === "tool_calls") mergeToolCalls(message.tool_calls, event.calls);
    else if (event.kind === "text") message.content += event.text;
    else message.reasoning += event.text;
    if (begins || event.kind === "tool_calls") progress.changed();
    if (event.kind !== "tool_calls") progress.grown(event.text, event.kind);
  }
}

/**
 * Puts together the calls that come in pieces (OpenAI's streamed `delta.tool_calls`).
 * @param {any[]} calls
 * @param {any[]} pieces
 */
function mergeToolCalls(calls, pieces) {
  for (const piece of pieces) {
    const index = typeof piece.index === "number" ? piece.index : calls.length;
    const call = (calls[index] ??= { id: piece.id ?? "", type: "function", function: { name: "", arguments: "" } });
    if (piece.id) call.id = piece.id;
    call.function.name += piece.function?.name ?? "";
    call.function.arguments += piece.function?.arguments ?? "";
  }
}

class Clock {
  #message;
  #began_ms = performance.now();
  #first_ms = 0;
  /** Of an answer that is carried on with: what was measured before. */
  #earlier;

  /** @param {Message} message */
  constructor(message) {
    this.#message = message;
    this.#earlier = {
      ...message.timings,
      completion_tokens: message.content ? (message.usage?.completion_tokens ?? 0) : 0,
    };
  }

  /** @param {"text" | "reasoning" | "tool_calls"} kind of the piece that came */
  ticked(kind) {
    const now_ms = performance.now();
    const { timings } = this.#message;
    this.#first_ms ||= now_ms;
    timings.first_token_ms = Math.round(this.#first_ms - this.#began_ms);
    timings.generation_ms = Math.round(now_ms - this.#first_ms);
    if (kind === "reasoning") timings.reasoning_ms = Math.round(now_ms - this.#began_ms);
  }

  /** @param {import("../api/answers.js").Usage} usage */
  counted(usage) {
    const { completion_tokens: earlier } = this.#earlier;
    this.#message.timings.generated_tokens = usage.completion_tokens;
    this.#message.usage = {
      ...usage,
      prompt_tokens: usage.prompt_tokens - earlier,
      completion_tokens: usage.completion_tokens + earlier,
    };
  }
}
