// @ts-check
/**
 * What a model asked of tools, and what they answered: one folded line each.
 * @module
 */

import { element } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";

/**
 * @param {any[]} calls OpenAI's `tool_calls`
 * @returns {HTMLElement[]}
 */
export function toolCallNodes(calls) {
  return calls.map((call) =>
    folded(t("tools.call", { name: String(call?.function?.name ?? "") }), readable(call?.function?.arguments)),
  );
}

/**
 * @param {import("../chat/message.js").Message} message of the role "tool"
 * @returns {HTMLElement}
 */
export function toolResultNode(message) {
  return folded(t("tools.result"), readable(message.content));
}

/**
 * @param {string} title
 * @param {string} text
 * @returns {HTMLElement}
 */
function folded(title, text) {
  const body = element("pre", "tool-text", element("code", "", text));
  body.tabIndex = 0;
  body.setAttribute("role", "group");
  body.setAttribute("aria-label", title);
  return element(
    "details",
    "tool-call",
    element("summary", "", icon("tool"), element("span", "tool-name", title), icon("right")),
    body,
  );
}

/**
 * @param {unknown} text JSON, perhaps
 * @returns {string}
 */
function readable(text) {
  const given = typeof text === "string" ? text : JSON.stringify(text ?? "");
  try {
    return JSON.stringify(JSON.parse(given), null, 2);
  } catch {
    return given;
  }
}
