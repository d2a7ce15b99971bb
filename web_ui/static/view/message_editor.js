// @ts-check
/**
 * The field that takes the place of a message while it is edited.
 * @module
 */

import { button, element } from "../dom.js";
import { t } from "../i18n.js";

/**
 * @param {import("../chat/message.js").Message} message
 * @param {{onSave: (text: string) => void, onClose: () => void}} handlers
 * @returns {HTMLElement}
 */
export function editMessage(message, { onSave, onClose }) {
  const field = element("textarea", "editor-input");
  field.value = message.content;
  field.dir = "auto";
  field.setAttribute("aria-label", t("message.edit"));
  const isQuestion = message.role === "user";
  const save = () => {
    const { value } = field;
    onClose();
    onSave(value);
  };
  const confirm = button(t(isQuestion ? "message.send_again" : "message.save_version"), "button button-primary", save);
  const note = element("p", "editor-note", t(isQuestion ? "message.edit_note" : "message.edit_answer_note"));
  const actions = element("div", "editor-actions", note, button(t("cancel"), "button", onClose), confirm);
  const fit = () => {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight + 2, window.innerHeight * 0.6)}px`;
    confirm.disabled = field.value.trim() === "";
  };
  field.addEventListener("input", fit);
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") onClose();
    else if (event.key === "Enter" && !event.shiftKey && isQuestion && !confirm.disabled) save();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  requestAnimationFrame(fit);
  return element("div", "editor", field, actions);
}
