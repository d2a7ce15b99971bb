// @ts-check
/**
 * Buttons that copy text and say whether it worked.
 * @module
 */

import { announce } from "./announcer.js";
import { iconButton } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

const SHOWN_MS = 1600;

/**
 * @param {string} label
 * @param {() => string} text asked for when the button is pressed
 * @returns {HTMLButtonElement}
 */
export function copyButton(label, text) {
  const made = iconButton(label, icon("copy"), "action action-copy", () => void copy());

  async function copy() {
    const copied = await write(text());
    const result = copied ? t("copy.done") : t("copy.refused");
    made.replaceChildren(icon(copied ? "done" : "close"));
    made.title = result;
    made.dataset.copied = String(copied);
    announce(result);
    setTimeout(() => {
      made.replaceChildren(icon("copy"));
      made.title = label;
      delete made.dataset.copied;
    }, SHOWN_MS);
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
