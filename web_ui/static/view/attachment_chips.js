// @ts-check
/**
 * Attached files as small labels; images as pictures.
 * @module
 */

import { element, iconButton } from "../dom.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";

/** @typedef {import("../chat/message.js").Attachment} Attachment */

/**
 * @param {readonly Attachment[]} attachments
 * @returns {HTMLElement}
 */
export function attachmentChips(attachments) {
  const list = element("ul", "attachments", ...attachments.map((file) => attachmentChip(file)));
  list.setAttribute("aria-label", t("attach.list"));
  return list;
}

/**
 * @param {Attachment} file
 * @param {(() => void) | null} onRemove
 * @param {string} note shown in place of the size
 * @returns {HTMLElement}
 */
export function attachmentChip(file, onRemove = null, note = "") {
  const name = element("span", "attachment-name", file.name);
  name.title = file.name;
  const about =
    note || [sizeText(file.size_bytes), file.truncated ? t("attach.truncated") : ""].filter(Boolean).join(", ");
  const words = element("span", "attachment-words", name, element("span", "attachment-note", about));
  const chip = element("li", "attachment", picture(file), words);
  if (onRemove) chip.append(iconButton(t("attach.remove", { name: file.name }), icon("close"), "action", onRemove));
  return chip;
}

/**
 * @param {Attachment} file
 * @returns {Node}
 */
function picture({ image_url, name }) {
  if (!image_url?.startsWith("data:image/")) return icon("file");
  const image = element("img", "attachment-image");
  image.src = image_url;
  image.alt = name;
  return image;
}

/**
 * @param {number} size_bytes
 * @returns {string}
 */
export function sizeText(size_bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = size_bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${number(value, value < 10 && unit > 0 ? 1 : 0)}\u00a0${units[unit]}`;
}
