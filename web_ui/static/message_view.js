// @ts-check
/**
 * Shows one message: who says it, its text, what can be done with it, and what went wrong.
 * @module
 */

import { ApiError, UnreachableError } from "./api.js";
import { tokensPerSecond } from "./chat.js";
import { copyButton } from "./clipboard.js";
import { button, element } from "./dom.js";
import { RichText } from "./rich_text.js";

/** @typedef {import("./chat.js").Message} Message */

const WAITING_TEXT = "Reading your message";
const CUT_OFF_TEXT = "The answer was cut off: it reached the longest length or the end of the context.";
const NUMBERS = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

export class MessageView {
  /** @type {HTMLLIElement} */
  element;
  #message;
  #body = element("div", "message-body");
  #notice = element("div", "message-notice");
  #actions = element("div", "message-actions");
  #facts = element("span", "message-facts");
  #waiting = element("p", "waiting", element("span", "", WAITING_TEXT), element("span", "waiting-dots"));
  #text = new RichText(this.#body);
  #pending = "";
  #frame = 0;

  /**
   * @param {Message} message
   * @param {string} speaker
   * @param {() => void} onRegenerate
   */
  constructor(message, speaker, onRegenerate) {
    this.#message = message;
    this.element = element("li", `message message-${message.role}`);
    const head = element("h2", "message-speaker", speaker);
    this.element.append(head, element("div", "message-main", this.#body, this.#notice, this.#actions));
    this.#actions.append(copyButton("Copy", () => message.text));
    if (message.role === "assistant") {
      this.#actions.append(button("Regenerate", "action action-regenerate", onRegenerate), this.#facts);
    }
    this.grow(message.text);
    this.update(onRegenerate);
  }

  /**
   * Adds text; drawn at most once a frame, however fast it comes.
   * @param {string} piece
   */
  grow(piece) {
    this.#pending += piece;
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  /**
   * Shows the message's state.
   * @param {() => void} onRetry
   */
  update(onRetry) {
    const { state } = this.#message;
    const isOpen = state === "waiting" || state === "streaming";
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(isOpen));
    this.#actions.hidden = isOpen || (state !== "done" && this.#message.text === "");
    if (state === "waiting") this.#body.append(this.#waiting);
    else this.#waiting.remove();
    if (isOpen) return;
    this.#flush();
    this.#text.finish();
    this.#facts.textContent = factsLine(this.#message);
    this.#notice.replaceChildren(...noticeNodes(this.#message, onRetry));
  }

  #flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#text.append(this.#pending);
    this.#pending = "";
  }
}

/**
 * @param {Message} message
 * @returns {string} how long the answer is and how fast it came, or nothing
 */
function factsLine(message) {
  if (!message.usage) return "";
  const count = message.usage.completion_tokens;
  const speed = tokensPerSecond(message);
  const length = count === 1 ? "1 token" : `${count.toLocaleString("en")} tokens`;
  return speed === null ? length : `${length}, ${NUMBERS.format(speed)} tokens/s`;
}

/**
 * @param {Message} message
 * @param {() => void} onRetry
 * @returns {Node[]}
 */
function noticeNodes(message, onRetry) {
  const retry = button("Retry", "button", onRetry);
  if (message.state === "failed") return [notice("notice notice-error", errorText(message.error), retry)];
  if (message.state === "stopped") return [notice("notice", "Stopped.", ...(message.text ? [] : [retry]))];
  if (message.finishReason === "length") return [notice("notice", CUT_OFF_TEXT)];
  return message.text === "" ? [notice("notice", "The answer is empty.", retry)] : [];
}

/**
 * @param {string} className
 * @param {string} text
 * @param {...Node} controls
 * @returns {HTMLElement}
 */
function notice(className, text, ...controls) {
  const paragraph = element("p", "notice-text", text);
  paragraph.dir = "auto";
  return element("div", className, paragraph, ...controls);
}

/**
 * @param {Error | null} error
 * @returns {string} what happened and what to do
 */
export function errorText(error) {
  if (error instanceof UnreachableError) return `${error.message} Start the program again if it was closed, then retry.`;
  if (!(error instanceof ApiError)) return `This page failed unexpectedly (${error?.message ?? "no reason given"}). Reload it.`;
  if (error.code === "context_length_exceeded") return `${error.message}\nStart a new chat, or write a shorter message.`;
  return error.message;
}
