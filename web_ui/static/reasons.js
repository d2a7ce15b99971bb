// @ts-check
/**
 * The reasons that the program gives for what it chose, which it gives in English, in the reader's language. They are
 * known by the page's own English words for them: the keys that begin with `reason.`.
 * @module
 */

import { inEnglish, number, t, tn } from "./i18n.js";

/** What may stand where a sentence has a gap of that name; in all others anything, which stays as it was said. */
const GAPS = /** @type {Record<string, string>} */ ({ count: "\\d+", value: "[\\d.,]+", backend: "Vulkan|CUDA" });

/** @type {{ key: string, said: RegExp }[]} */
let sentences = [];

/**
 * @param {string} reason one or several, with semicolons between them
 * @returns {string} the same in the reader's language; what is not known here stays as it is
 */
export function reasonText(reason) {
  if (sentences.length === 0) sentences = inEnglish("reason.").map(([key, text]) => ({ key: base(key), said: pattern(text) }));
  return reason.split("; ").map(oneReason).join("; ");
}

/** @param {string} reason */
function oneReason(reason) {
  for (const { key, said } of sentences) {
    const found = said.exec(reason);
    if (!found) continue;
    const { count, value, ...names } = found.groups ?? {};
    const values = value ? { value: number(Number(value.replaceAll(",", "")), 2), ...names } : names;
    return count ? tn(key, Number(count), values) : t(key, values);
  }
  return reason;
}

/** @param {string} text with gaps such as `{count}` */
function pattern(text) {
  const literal = text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  return new RegExp(`^${literal.replace(/\{(\w+)\}/g, (_gap, name) => `(?<${name}>${GAPS[name] ?? ".+"})`)}$`);
}

/** @param {string} key maybe that of one plural form */
function base(key) {
  return key.replace(/_(one|other)$/, "");
}
