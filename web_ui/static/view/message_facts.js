// @ts-check
/**
 * What is said below an answer: how long it is, how fast it came, and how it ended if not well.
 * @module
 */

import { ApiError, UnreachableError } from "../api/http.js";
import { tokensPerSecond } from "../chat/message.js";
import { button, element } from "../dom.js";
import { number, t, tn } from "../i18n.js";

/** @typedef {import("../chat/message.js").Message} Message */

/**
 * @param {Message} message
 * @returns {string} such as "40 tokens · 23.4 tokens/s · first after 0.8 s", or nothing
 */
export function answerFacts(message) {
  if (!message.usage) return "";
  const parts = [tn("facts.tokens", message.usage.completion_tokens)];
  const speed = tokensPerSecond(message);
  if (speed !== null) parts.push(t("facts.speed", { speed: number(speed, 1) }));
  const { first_token_ms } = message.timings;
  if (first_token_ms !== undefined) parts.push(t("facts.first", { seconds: shortTime(first_token_ms) }));
  return parts.join(" · ");
}

/**
 * @param {number} time_ms
 * @returns {string} seconds, with as many digits as tell something
 */
export function shortTime(time_ms) {
  return number(time_ms / 1000, time_ms < 1000 ? 2 : 1);
}

/**
 * @param {Message} message
 * @param {(() => void) | null} retry
 * @param {(() => void) | null} proceed
 * @returns {Node[]}
 */
export function noticeNodes(message, retry, proceed) {
  const retryButton = retry ? [button(t("message.retry"), "button", retry)] : [];
  const proceedButton = proceed ? [button(t("message.continue"), "button", proceed)] : [];
  if (message.state === "failed") {
    return [notice("notice notice-error", sentence(errorText(message.error)), ...retryButton)];
  }
  const isEmpty = message.content === "" && message.tool_calls.length === 0;
  if (message.state === "stopped")
    return [notice("notice", t("message.stopped"), ...(isEmpty ? retryButton : proceedButton))];
  if (message.finish_reason === "length") return [notice("notice", t("message.cut_off"), ...proceedButton)];
  return isEmpty ? [notice("notice", t("message.empty"), ...retryButton)] : [];
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
 * @param {unknown} error
 * @returns {string} what happened and what to do
 */
export function errorText(error) {
  if (error instanceof UnreachableError) return t("error.unreachable", { reason: error.message });
  if (error instanceof ApiError && error.code === "context_length_exceeded")
    return `${sentence(error.message)}\n${t("error.too_long")}`;
  if (error instanceof ApiError) return error.message;
  const reason = error instanceof Error ? error.message : "";
  return reason ? t("error.page", { reason }) : t("error.failed");
}

/**
 * @param {string} message as the API words them
 * @returns {string} with a capital letter and a full stop
 */
function sentence(message) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
