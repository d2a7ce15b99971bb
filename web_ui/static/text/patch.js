// @ts-check
/**
 * Brings nodes on the page in line with their descriptions, touching only what differs: text that grows is appended to,
 * and what stays the same keeps its selection, its scroll position and its rendered formulas.
 * @module
 */

import { CodeBlock } from "./code_block.js";
import { mathNode } from "./formula.js";

/**
 * @typedef {import("./nodes.js").VNode} VNode
 * @typedef {import("./nodes.js").VElement} VElement
 */

/**
 * Makes the nodes of `parent` from the index `offset` on show `wanted`, where they now show `shown`.
 * @param {Node} parent
 * @param {number} offset
 * @param {VNode[]} shown
 * @param {VNode[]} wanted
 */
export function patchChildren(parent, offset, shown, wanted) {
  for (let index = 0; index < wanted.length; index += 1) {
    const node = parent.childNodes[offset + index] ?? null;
    if (index >= shown.length || node === null) parent.insertBefore(create(wanted[index]), node);
    else if (!update(node, shown[index], wanted[index])) parent.replaceChild(create(wanted[index]), node);
  }
  while (parent.childNodes.length > offset + wanted.length) parent.lastChild?.remove();
}

/**
 * @param {VNode} wanted
 * @returns {Node}
 */
export function create(wanted) {
  if (typeof wanted === "string") return document.createTextNode(wanted);
  if ("code" in wanted) {
    wanted.view = new CodeBlock(wanted);
    return wanted.view.element;
  }
  if ("tex" in wanted) return mathNode(wanted);
  const made = document.createElement(wanted.tag);
  if (wanted.className) made.className = wanted.className;
  for (const [name, value] of Object.entries(wanted.attributes)) made.setAttribute(name, value);
  for (const child of wanted.children) made.append(create(child));
  return made;
}

/**
 * @param {Node} node shows `shown`
 * @param {VNode} shown
 * @param {VNode} wanted
 * @returns {boolean} whether the node could be kept
 */
function update(node, shown, wanted) {
  if (typeof wanted === "string" || typeof shown === "string") {
    return typeof wanted === typeof shown && node instanceof Text && updateText(node, String(shown), String(wanted));
  }
  if ("code" in wanted) {
    if (!("code" in shown) || shown.language !== wanted.language || !shown.view) return false;
    wanted.view = shown.view;
    wanted.view.update(wanted);
    return true;
  }
  if ("tex" in wanted) return "tex" in shown && shown.tex === wanted.tex && shown.display === wanted.display;
  if (!("tag" in shown) || !(node instanceof Element) || !isSameElement(shown, wanted)) return false;
  patchChildren(node, 0, shown.children, wanted.children);
  return true;
}

/**
 * @param {Text} node
 * @param {string} shown
 * @param {string} wanted
 * @returns {boolean}
 */
function updateText(node, shown, wanted) {
  if (wanted === shown) return true;
  if (wanted.startsWith(shown)) node.appendData(wanted.slice(shown.length));
  else node.data = wanted;
  return true;
}

/**
 * @param {VElement} one
 * @param {VElement} other
 * @returns {boolean}
 */
function isSameElement(one, other) {
  const names = Object.keys(other.attributes);
  return (
    one.tag === other.tag &&
    one.className === other.className &&
    names.length === Object.keys(one.attributes).length &&
    names.every((name) => one.attributes[name] === other.attributes[name])
  );
}
