// @ts-check
/**
 * One conversation: its messages, and the answer being written. Knows neither the page nor how requests are sent.
 * @module
 */

/**
 * @typedef {import("./api.js").RequestMessage} RequestMessage
 * @typedef {import("./api.js").ChatEvent} ChatEvent
 * @typedef {import("./api.js").Usage} Usage
 * @typedef {"waiting" | "streaming" | "done" | "stopped" | "failed"} MessageState
 */

/**
 * @typedef {object} Message
 * @property {"user" | "assistant"} role
 * @property {string} text
 * @property {MessageState} state
 * @property {Error | null} error
 * @property {string | null} finishReason OpenAI's word for why the answer ended
 * @property {Usage | null} usage
 * @property {number} generation_s seconds from the first piece of text to the last
 */

/**
 * @typedef {object} ChatListener
 * @property {(message: Message) => void} added
 * @property {(message: Message, piece: string) => void} grown
 * @property {(message: Message) => void} changed
 * @property {(message: Message) => void} removed
 * @property {(busy: boolean) => void} busyChanged
 */

export class Chat {
  /** @type {Message[]} */
  #messages = [];
  /** @type {AbortController | null} */
  #controller = null;
  /** @type {(messages: RequestMessage[], signal: AbortSignal) => AsyncIterable<ChatEvent>} */
  #stream;
  /** @type {ChatListener} */
  #listener;

  /**
   * @param {(messages: RequestMessage[], signal: AbortSignal) => AsyncIterable<ChatEvent>} stream asks for an answer
   * @param {ChatListener} listener is told of every change
   */
  constructor(stream, listener) {
    this.#stream = stream;
    this.#listener = listener;
  }

  /** @returns {readonly Message[]} */
  get messages() {
    return this.#messages;
  }

  /** Whether an answer is being written. */
  get busy() {
    return this.#controller !== null;
  }

  /**
   * Adds what the user wrote and asks for an answer. Ignored while one is being written.
   * @param {string} text
   */
  send(text) {
    if (this.busy || text.trim() === "") return;
    this.#add({ ...emptyMessage("user"), text, state: "done" });
    void this.#answer();
  }

  /** Stops the answer being written; what is there stays. */
  stop() {
    this.#controller?.abort();
  }

  /** Throws the last answer away, complete or failed, and asks for another. */
  regenerate() {
    const last = this.#messages.at(-1);
    if (this.busy || last?.role !== "assistant") return;
    this.#messages.pop();
    this.#listener.removed(last);
    void this.#answer();
  }

  /** Begins an empty conversation. */
  reset() {
    this.stop();
    for (const message of this.#messages.splice(0)) this.#listener.removed(message);
    this.#setController(null);
  }

  /** @param {Message} message */
  #add(message) {
    this.#messages.push(message);
    this.#listener.added(message);
  }

  /** @param {AbortController | null} controller */
  #setController(controller) {
    this.#controller = controller;
    this.#listener.busyChanged(this.busy);
  }

  async #answer() {
    const controller = new AbortController();
    const request = requestMessages(this.#messages);
    const message = emptyMessage("assistant");
    this.#setController(controller);
    this.#add(message);
    try {
      await this.#receive(message, this.#stream(request, controller.signal), controller.signal);
      message.state = controller.signal.aborted ? "stopped" : "done";
    } catch (error) {
      message.error = error instanceof Error ? error : new Error(String(error));
      message.state = controller.signal.aborted ? "stopped" : "failed";
    }
    if (this.#controller === controller) this.#setController(null);
    this.#listener.changed(message);
  }

  /**
   * @param {Message} message
   * @param {AsyncIterable<ChatEvent>} events
   * @param {AbortSignal} signal
   */
  async #receive(message, events, signal) {
    let first_ms = 0;
    for await (const event of events) {
      if (signal.aborted) return;
      if (event.kind === "finish") message.finishReason = event.reason;
      else if (event.kind === "usage") message.usage = event.usage;
      else {
        first_ms = first_ms || performance.now();
        message.generation_s = (performance.now() - first_ms) / 1000;
        this.#grow(message, event.text);
      }
    }
  }

  /**
   * @param {Message} message
   * @param {string} piece
   */
  #grow(message, piece) {
    message.text += piece;
    if (message.state === "waiting") {
      message.state = "streaming";
      this.#listener.changed(message);
    }
    this.#listener.grown(message, piece);
  }
}

/**
 * Turns the conversation into what the API takes. Answers without text (failed or stopped early) are left out, and the
 * user messages that then follow each other become one: many chat templates insist on alternating roles.
 * @param {readonly Message[]} messages
 * @returns {RequestMessage[]}
 */
export function requestMessages(messages) {
  /** @type {RequestMessage[]} */
  const result = [];
  for (const { role, text } of messages) {
    if (role === "assistant" && text === "") continue;
    const last = result.at(-1);
    if (last?.role === role) last.content += `\n\n${text}`;
    else result.push({ role, content: text });
  }
  return result;
}

/**
 * @param {Message} message
 * @returns {number | null} generated tokens per second, or null when too little is known
 */
export function tokensPerSecond({ usage, generation_s }) {
  // The clock starts with the first token, so that one does not count.
  const counted = (usage?.completion_tokens ?? 0) - 1;
  return counted > 0 && generation_s > 0.01 ? counted / generation_s : null;
}

/**
 * @param {"user" | "assistant"} role
 * @returns {Message}
 */
function emptyMessage(role) {
  return { role, text: "", state: "waiting", error: null, finishReason: null, usage: null, generation_s: 0 };
}
