// @ts-check
/**
 * Colours code, one block at a time and only when the browser has nothing better to do. The library reads the code into
 * a tree; the nodes are made here, so its HTML is never used.
 * @module
 */

const LONGEST_CODE = 60_000;
const IDLE_TIMEOUT_MS = 1500;

/** @type {(() => void)[]} */
const queue = [];
let scheduled = false;
/** @type {Promise<any> | null} */
let library = null;

/**
 * Colours `code` later, unless its text has changed by then.
 * @param {HTMLElement} block gets the attribute data-coloured: "yes", or "no" for a language that is not known
 * @param {HTMLElement} code
 * @param {string} language
 * @param {() => string} source
 */
export function colour(block, code, language, source) {
  const text = source();
  if (text.length > LONGEST_CODE) {
    block.dataset.coloured = "no";
    return;
  }
  library ??= import("../libraries/highlight/highlight.mjs").then((module) => module.default);
  void library.then((highlighter) =>
    later(() => {
      if (source() !== text || block.dataset.coloured !== "waiting") return;
      const known = highlighter.getLanguage(language) !== undefined;
      block.dataset.coloured = known ? "yes" : "no";
      if (!known) return;
      const result = highlighter.highlight(text, { language, ignoreIllegals: true });
      const coloured = document.createDocumentFragment();
      for (const child of result._emitter.root.children) coloured.append(nodeOf(child));
      code.replaceChildren(coloured);
    }),
  );
}

/** @param {() => void} task */
function later(task) {
  queue.push(task);
  schedule();
}

function schedule() {
  if (scheduled || queue.length === 0) return;
  scheduled = true;
  const run = () => {
    scheduled = false;
    queue.shift()?.();
    schedule();
  };
  if ("requestIdleCallback" in window) requestIdleCallback(run, { timeout: IDLE_TIMEOUT_MS });
  else setTimeout(run, 30);
}

/**
 * @param {string | {scope?: string, children: any[]}} part of the library's tree
 * @returns {Node}
 */
function nodeOf(part) {
  if (typeof part === "string") return document.createTextNode(part);
  const span = document.createElement("span");
  const scope = part.scope ?? "";
  if (/^[a-z][\w.-]*$/i.test(scope)) span.className = `hl-${scope.split(".")[0]}`;
  for (const child of part.children) span.append(nodeOf(child));
  return span;
}
