// @ts-check
/**
 * Tells screen readers what happened, once each and politely; a streamed answer is read when it is complete.
 * @module
 */

import { byId } from "./dom.js";
import { t } from "./i18n.js";

const LONGEST = 3000;
const KEPT_MS = 4000;

let clearing = 0;

/** @param {string} text */
export function announce(text) {
  const region = byId("announcer", HTMLElement);
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}… ${t("announce.goes_on")}` : text;
  region.textContent = cut;
  // Emptied again, so that it is not met a second time when the page is read through.
  clearTimeout(clearing);
  clearing = setTimeout(() => (region.textContent = ""), KEPT_MS);
}
