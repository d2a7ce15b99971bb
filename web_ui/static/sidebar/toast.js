// @ts-check
/**
 * A short message at the edge of the page, with one thing that can be done about it.
 * @module
 */

import { button, byId, element } from "../dom.js";

const SHOWN_MS = 10_000;

let hiding = 0;

/**
 * @param {string} text
 * @param {{label: string, onPress: () => void} | null} action
 */
export function showToast(text, action = null) {
  const toast = byId("toast", HTMLElement);
  clearTimeout(hiding);
  toast.replaceChildren(element("span", "toast-text", text));
  const hide = () => {
    toast.hidden = true;
  };
  if (action) {
    toast.append(
      button(action.label, "button", () => {
        hide();
        action.onPress();
      }),
    );
  }
  toast.hidden = false;
  const wait = () => {
    // Whoever is about to press the button is not hurried.
    if (toast.matches(":hover, :focus-within")) hiding = setTimeout(wait, 1000);
    else hide();
  };
  hiding = setTimeout(wait, SHOWN_MS);
}
