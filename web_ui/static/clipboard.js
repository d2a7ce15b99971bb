// @ts-check
/**
 * Buttons that copy text and say whether it worked.
 * @module
 */

import { announce } from "./announcer.js";
import { button } from "./dom.js";

const SHOWN_MS = 1600;

/**
 * @param {string} label
 * @param {() => string} text asked for when the button is pressed
 * @returns {HTMLButtonElement}
 */
export function copyButton(label, text) {
  const made = button(label, "action", () => void copy());

  async function copy() {
    const copied = await write(text());
    made.textContent = copied ? "Copied" : "Not copied: the browser refused";
    announce(made.textContent);
    setTimeout(() => (made.textContent = label), SHOWN_MS);
  }

  return made;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
