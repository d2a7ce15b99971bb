// @ts-check
/**
 * Sets formulas with KaTeX. Its tree of nodes is used, never its HTML, and what little of it would write a `style`
 * attribute (the hidden MathML twin of a few commands) is left out, so that the page's policy needs no exception.
 * @module
 */

const OPTIONS = {
  throwOnError: true,
  strict: "ignore",
  trust: false,
  maxSize: 20,
  maxExpand: 300,
  output: "htmlAndMathml",
};
const LONGEST_FORMULA = 8000;

/** @type {any} */
let katex = null;
/** @type {Promise<void> | null} */
let loading = null;

/**
 * @param {{tex: string, display: boolean, source: string}} formula
 * @returns {HTMLElement} shows the source until the library is loaded, and for good if it can't be read
 */
export function mathNode({ tex, display, source }) {
  const made = document.createElement("span");
  made.className = display ? "formula formula-display" : "formula";
  made.dir = "ltr";
  if (tex.length > LONGEST_FORMULA) {
    fail(made, source);
    return made;
  }
  if (katex) set(made, tex, display, source);
  else {
    made.textContent = source;
    loading ??= import("../libraries/katex/katex.mjs").then((module) => void (katex = module));
    void loading.then(() => set(made, tex, display, source));
  }
  return made;
}

/**
 * @param {HTMLElement} target
 * @param {string} tex
 * @param {boolean} display
 * @param {string} source
 */
function set(target, tex, display, source) {
  try {
    const tree = katex.__renderToDomTree(tex, { ...OPTIONS, displayMode: display });
    withoutStyleAttributes(tree);
    target.replaceChildren(tree.toNode());
    if (display) target.tabIndex = 0;
  } catch {
    fail(target, source);
  }
}

/**
 * @param {HTMLElement} target
 * @param {string} source
 */
function fail(target, source) {
  target.classList.add("formula-failed");
  target.textContent = source;
}

/** @param {any} node of the library's tree; elements set their styles through properties, which the policy allows */
function withoutStyleAttributes(node) {
  if (node.attributes) delete node.attributes.style;
  for (const child of node.children ?? []) withoutStyleAttributes(child);
}
