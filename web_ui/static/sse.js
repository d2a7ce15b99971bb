// @ts-check
/**
 * Reads server-sent events from the body of a `fetch` response (EventSource can't send POST requests).
 * Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream". Event names and ids are not used here.
 * @module
 */

/**
 * Yields the data of each event. Stopping early cancels the response, so the server notices.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<string, void, void>}
 */
export async function* readEvents(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      yield* parser.push(done ? decoder.decode() : decoder.decode(value, { stream: true }));
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/** Cuts text that arrives in arbitrary pieces into events. */
export class EventParser {
  #line = "";
  #endedWithReturn = false;
  /** @type {string[]} */
  #data = [];

  /**
   * @param {string} piece
   * @returns {string[]} the data of the events that `piece` completes
   */
  push(piece) {
    if (!piece) return [];
    const text = this.#endedWithReturn && piece.startsWith("\n") ? piece.slice(1) : piece;
    this.#endedWithReturn = piece.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop() ?? "";
    /** @type {string[]} */
    const events = [];
    for (const line of lines) this.#takeLine(line, events);
    return events;
  }

  /**
   * @param {string} line
   * @param {string[]} events
   */
  #takeLine(line, events) {
    if (line === "") {
      if (this.#data.length > 0) events.push(this.#data.join("\n"));
      this.#data = [];
    } else if (line.startsWith("data:")) {
      this.#data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
    }
  }
}
