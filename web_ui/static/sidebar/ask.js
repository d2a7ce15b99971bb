// @ts-check
/**
 * Asks for one line of text.
 * @module
 */

import { byId, closeOnBackdrop, element } from "../dom.js";

/**
 * @param {string} label
 * @param {string} value
 * @param {string[]} choices
 * @returns {Promise<string | null>} what was written, or nothing when it was called off
 */
export function askForText(label, value, choices = []) {
  const dialog = byId("ask", HTMLDialogElement);
  const input = byId("ask-input", HTMLInputElement);
  const cancel = byId("ask-cancel", HTMLButtonElement);
  byId("ask-label", HTMLLabelElement).textContent = label;
  byId("ask-choices", HTMLDataListElement).replaceChildren(
    ...choices.map((choice) => {
      const option = element("option");
      option.value = choice;
      return option;
    }),
  );
  input.value = value;
  closeOnBackdrop(dialog);
  dialog.returnValue = "";
  return new Promise((resolve) => {
    cancel.onclick = () => dialog.close("");
    dialog.onclose = () => resolve(dialog.returnValue === "ok" ? input.value.trim() : null);
    dialog.showModal();
    input.select();
  });
}
