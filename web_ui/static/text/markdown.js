// @ts-check
/**
 * Reads Markdown into top-level blocks of nodes-to-be (see nodes.js). Nothing in it is ever taken for HTML.
 *
 * The library only tokenizes (CommonMark 0.31 with GFM tables and strikethrough); its HTML renderer is not used.
 * @module
 */

import MarkdownIt from "../libraries/markdown-it/markdown-it.mjs";
import { addMath } from "./math_syntax.js";
import { blockNodes, paragraph } from "./nodes.js";

/** In a paragraph this long nothing is looked for: it would take long and hardly be meant. */
const LONGEST_PARAGRAPH = 20_000;
/** Quotes and lists so deep inside each other that the parser would leave out what is in them. */
const TOO_DEEP = /^[ \t]*(?:>[ \t]?|[-*+][ \t]+|\d+[.)][ \t]+){30,}(?![-*_ \t]*$)/m;
const LINK = /^(?:https?:\/\/|mailto:)/i;

/** @typedef {import("./nodes.js").Block} Block */

const parser = new MarkdownIt({ html: false, linkify: true, breaks: true });
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
parser.validateLink = (/** @type {string} */ address) => LINK.test(address.trim());
parser.core.ruler.at("inline", readParagraphs);
addMath(parser);

/**
 * @param {string} source
 * @param {object} environment keeps link definitions from one call to the next
 * @returns {Block[]}
 */
export function parseBlocks(source, environment) {
  if (TOO_DEEP.test(source)) return [{ firstLine: 0, node: paragraph(source.trim()) }];
  return blockNodes(parser.parse(source, environment), source);
}

/** @param {any} state of the parser's core, whose blocks are known by now */
function readParagraphs(state) {
  for (const token of state.tokens) {
    if (token.type !== "inline") continue;
    if (token.content.length <= LONGEST_PARAGRAPH)
      state.md.inline.parse(token.content, state.md, state.env, token.children);
    else {
      const text = new state.Token("text", "", 0);
      text.content = token.content;
      token.children = [text];
      token.content = "";
    }
  }
}
