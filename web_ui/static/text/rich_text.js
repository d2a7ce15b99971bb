// @ts-check
/**
 * Shows Markdown that arrives in pieces. Blocks that can't change any more are left alone for good; only the end of the
 * text is read again, at most once a frame and less often when that takes long.
 * @module
 */

import { parseBlocks } from "./markdown.js";
import { patchChildren } from "./patch.js";

/** @typedef {import("./nodes.js").VNode} VNode */

/** How many times as long as a drawing took the next one is put off. */
const REST = 2;
const CALM_MS = 8;

export class RichText {
  #container;
  #text = "";
  /** Where the part of the text begins that is read again. */
  #start = 0;
  /** How many nodes of the container show what is left alone. */
  #numClosed = 0;
  /** @type {VNode[]} what the nodes after them show */
  #tail = [];
  #environment = {};
  #frame = 0;
  #timer = 0;
  #restUntil_ms = 0;

  /** @param {HTMLElement} container */
  constructor(container) {
    this.#container = container;
  }

  get text() {
    return this.#text;
  }

  /**
   * Adds text; it is shown soon.
   * @param {string} piece
   */
  append(piece) {
    this.#text += piece;
    if (!this.#frame && !this.#timer) this.#schedule();
  }

  /**
   * Shows another text instead, at once.
   * @param {string} text
   */
  set(text) {
    this.#cancel();
    this.#container.replaceChildren();
    this.#text = text;
    this.#start = 0;
    this.#numClosed = 0;
    this.#tail = [];
    this.#environment = {};
    this.#draw(true);
  }

  /** Shows all text; to be called when no more comes. */
  finish() {
    this.#cancel();
    // A link may have been defined after the blocks that use it were left alone.
    if (this.#start > 0 && /^ {0,3}\[[^\]]+\]:/m.test(this.#text)) this.set(this.#text);
    else this.#draw(true);
  }

  #schedule() {
    const wait_ms = this.#restUntil_ms - performance.now();
    if (wait_ms > 0) this.#timer = setTimeout(() => this.#requestFrame(), wait_ms);
    else this.#requestFrame();
  }

  #requestFrame() {
    this.#timer = 0;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw(false);
    });
  }

  #cancel() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = 0;
    this.#timer = 0;
  }

  /** @param {boolean} isComplete */
  #draw(isComplete) {
    const began_ms = performance.now();
    const source = this.#text.slice(this.#start);
    const blocks = parseBlocks(source, this.#environment);
    const wanted = blocks.map((block) => block.node);
    if (isComplete) for (const node of wanted) if (typeof node === "object" && "code" in node) node.closed = true;
    patchChildren(this.#container, this.#numClosed, this.#tail, wanted);
    this.#tail = wanted;
    if (!isComplete) this.#leaveAlone(source, blocks);
    const took_ms = performance.now() - began_ms;
    this.#restUntil_ms = took_ms > CALM_MS ? performance.now() + took_ms * REST : 0;
  }

  /**
   * Leaves blocks alone that are followed by a block whose first line is complete: no later text can change them.
   * @param {string} source
   * @param {import("./nodes.js").Block[]} blocks
   */
  #leaveAlone(source, blocks) {
    for (let index = blocks.length - 1; index > 0; index -= 1) {
      const start = offsetOfLine(source, blocks[index].firstLine);
      if (source.indexOf("\n", start) < 0) continue;
      this.#start += start;
      this.#numClosed += index;
      this.#tail = this.#tail.slice(index);
      return;
    }
  }
}

/**
 * @param {string} text
 * @param {number} line counted from 0
 * @returns {number}
 */
function offsetOfLine(text, line) {
  let offset = 0;
  for (let count = 0; count < line; count += 1) offset = text.indexOf("\n", offset) + 1;
  return offset;
}
