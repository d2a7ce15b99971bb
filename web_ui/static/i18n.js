// @ts-check
/**
 * The page's words in the reader's language. Each language is one file of `locales/`; English is the one that all others
 * are checked against.
 * @module
 */

export const LANGUAGES = { en: "English", zh: "简体中文", es: "Español", de: "Deutsch", fr: "Français", ja: "日本語" };

/** @typedef {keyof LANGUAGES} Language */

/** @type {Record<string, string>} */
let words = {};
/** @type {Language} */
let current = "en";
/** @type {Record<string, string>} */
let english = {};
let plurals = new Intl.PluralRules("en");

/** @returns {Language} the language in use */
export function language() {
  return current;
}

/**
 * @param {string | null | undefined} chosen by the reader, if at all
 * @param {readonly string[]} preferred what the browser asks for
 * @returns {Language}
 */
export function pickLanguage(chosen, preferred) {
  const codes = [chosen ?? "", ...preferred].map((code) => code.toLowerCase().split("-")[0]);
  return /** @type {Language} */ (codes.find((code) => code in LANGUAGES) ?? "en");
}

/**
 * Fetches a language and puts its words into the page. Keeps the present one when that fails.
 * @param {Language} code
 */
export async function useLanguage(code) {
  const asked = fetchWords(code);
  [words, english] = await Promise.all([asked, code === "en" ? asked : fetchWords("en")]);
  current = code;
  plurals = new Intl.PluralRules(code);
  document.documentElement.lang = code === "zh" ? "zh-Hans" : code;
  translatePage(document.documentElement);
}

/**
 * @param {Language} code
 * @returns {Promise<Record<string, string>>}
 */
async function fetchWords(code) {
  const response = await fetch(`/static/locales/${code}.json`, { credentials: "omit" });
  if (!response.ok) throw new Error(`The words for ${code} could not be loaded (status ${response.status}).`);
  return response.json();
}

/**
 * @param {string} prefix
 * @returns {[string, string][]} the keys that begin so, and their texts in English
 */
export function inEnglish(prefix) {
  return Object.entries(english).filter(([key]) => key.startsWith(prefix));
}

/**
 * @param {string} key
 * @param {Record<string, string | number>} values put where the text says `{name}`
 * @returns {string}
 */
export function t(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * A text that depends on a number: the key's form for that number, which may stand in it as `{count}`.
 * @param {string} key
 * @param {number} count
 * @param {Record<string, string | number>} values
 * @returns {string}
 */
export function tn(key, count, values = {}) {
  const form = `${key}_${plurals.select(count)}`;
  return t(form in words ? form : `${key}_other`, { count: number(count), ...values });
}

/**
 * @param {number} value
 * @param {number} digits after the point, at most
 * @returns {string}
 */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(current, { maximumFractionDigits: digits }).format(value);
}

/**
 * Fills in every element that names its words: `data-t` for its text, `data-t-NAME` for an attribute.
 * @param {HTMLElement} root
 */
function translatePage(root) {
  for (const target of root.querySelectorAll("[data-t]")) target.textContent = t(target.getAttribute("data-t") ?? "");
  for (const name of ["aria-label", "placeholder", "title"]) {
    for (const target of root.querySelectorAll(`[data-t-${name}]`))
      target.setAttribute(name, t(target.getAttribute(`data-t-${name}`) ?? ""));
  }
}
