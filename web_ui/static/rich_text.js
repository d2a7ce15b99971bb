// @ts-check
/**
 * Turns text that arrives in pieces into paragraphs and code blocks, as nodes: nothing is ever parsed as HTML.
 *
 * Only fenced code blocks are recognised (CommonMark 0.31, section 4.5, backtick fences; but with any indentation, since
 * models indent them under list items); all else stays as written.
 * Each piece is appended to the node at the end, so the work does not grow with the length of the text.
 * @module
 */

import { copyButton } from "./clipboard.js";
import { element } from "./dom.js";

const MAX_INFO_LENGTH = 100;
const MAY_OPEN = /^[ \t]*(?:`{0,2}|`{3,}[^`]*)$/;
const OPENS = /^([ \t]*)(`{3,})([^`]*)$/;
const MAY_CLOSE = /^[ \t]*`*\s*$/;
const CLOSES = /^[ \t]*(`{3,})\s*$/;

export class RichText {
  #container;
  /** The node that text goes to; none before the first text and after a fence. @type {Text | null} */
  #target = null;
  /** The start of a line that may yet turn out to be a fence. */
  #held = "";
  #atLineStart = true;
  /** Line ends that are written only when more text follows, so blocks have no empty lines at their ends. */
  #newlines = 0;
  /** Backticks of the open fence; 0 outside code. */
  #fenceLength = 0;
  /** Characters of indentation before the open fence, taken off each of its lines. */
  #indentation = 0;

  /** @param {HTMLElement} container */
  constructor(container) {
    this.#container = container;
  }

  /** @param {string} piece */
  append(piece) {
    let start = 0;
    while (start <= piece.length) {
      const end = piece.indexOf("\n", start);
      this.#takeLinePart(end < 0 ? piece.slice(start) : piece.slice(start, end));
      if (end < 0) return;
      this.#endLine();
      start = end + 1;
    }
  }

  /** Writes out what was held back; to be called when no more text comes. */
  finish() {
    if (this.#closesFence()) this.#held = "";
    this.#release();
  }

  /** @param {string} part of a line, without its end */
  #takeLinePart(part) {
    if (!this.#atLineStart) {
      this.#write(part);
      return;
    }
    this.#held += part;
    const mayBeFence = this.#held.length <= MAX_INFO_LENGTH && (this.#fenceLength ? MAY_CLOSE : MAY_OPEN).test(this.#held);
    if (mayBeFence) return;
    this.#release();
    this.#atLineStart = false;
  }

  /** Writes the held start of a line. */
  #release() {
    const blank = this.#held.length - this.#held.trimStart().length;
    this.#write(this.#held.slice(Math.min(blank, this.#indentation)));
    this.#held = "";
  }

  #endLine() {
    const opening = this.#fenceLength ? null : OPENS.exec(this.#held);
    if (opening) this.#openCode(opening[2].length, opening[1].length, opening[3].trim());
    else if (this.#closesFence()) this.#closeCode();
    else {
      this.#release();
      this.#newlines += 1;
    }
    this.#held = "";
    this.#atLineStart = true;
  }

  #closesFence() {
    const closing = this.#fenceLength ? CLOSES.exec(this.#held) : null;
    return closing !== null && closing[1].length >= this.#fenceLength;
  }

  /** @param {string} text without line ends */
  #write(text) {
    if (text === "") return;
    if (this.#target && !this.#fenceLength && this.#newlines > 1) this.#target = null;
    if (this.#target) this.#target.appendData("\n".repeat(this.#newlines) + text);
    else this.#target = this.#openParagraph(text);
    this.#newlines = 0;
  }

  /**
   * @param {string} text
   * @returns {Text}
   */
  #openParagraph(text) {
    const node = document.createTextNode(text);
    const paragraph = element("p", "prose", node);
    paragraph.dir = "auto";
    this.#container.append(paragraph);
    return node;
  }

  /**
   * @param {number} fenceLength
   * @param {number} indentation
   * @param {string} info
   */
  #openCode(fenceLength, indentation, info) {
    const node = document.createTextNode("");
    const code = element("code", "", node);
    const pre = element("pre", "code-text", code);
    pre.tabIndex = 0;
    pre.dir = "ltr";
    const language = info.split(/\s/, 1)[0];
    pre.setAttribute("aria-label", language ? `Code, ${language}` : "Code");
    const head = element("figcaption", "code-head", element("span", "code-language", language || "code"));
    head.append(copyButton("Copy code", () => node.data));
    this.#container.append(element("figure", "code", head, pre));
    this.#target = node;
    this.#fenceLength = fenceLength;
    this.#indentation = indentation;
    this.#newlines = 0;
  }

  #closeCode() {
    this.#target = null;
    this.#fenceLength = 0;
    this.#indentation = 0;
    this.#newlines = 0;
  }
}
