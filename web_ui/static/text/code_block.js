// @ts-check
/**
 * A block of code: its language, a button that copies it, and colours once it is complete.
 * @module
 */

import { copyButton } from "../clipboard.js";
import { element } from "../dom.js";
import { t } from "../i18n.js";
import { colour } from "./highlighter.js";

/** @typedef {import("./nodes.js").VCode} VCode */

export class CodeBlock {
  /** @type {HTMLElement} */
  element;
  #text = document.createTextNode("");
  #code = element("code", "", this.#text);
  #source = "";

  /** @param {VCode} wanted */
  constructor(wanted) {
    const { language } = wanted;
    const pre = element("pre", "code-text", this.#code);
    pre.tabIndex = 0;
    pre.dir = "ltr";
    pre.setAttribute("role", "group");
    pre.setAttribute("aria-label", language ? t("code.label", { language }) : t("code.plain"));
    const head = element("figcaption", "code-head", element("span", "code-language", language || t("code.plain")));
    head.append(copyButton(t("code.copy"), () => this.#source));
    this.element = element("figure", "code", head, pre);
    this.update(wanted);
  }

  /** @param {VCode} wanted */
  update({ code, language, closed }) {
    if (code !== this.#source) {
      if (!this.#text.isConnected && this.#code.firstChild !== this.#text) this.#code.replaceChildren(this.#text);
      if (code.startsWith(this.#source)) this.#text.appendData(code.slice(this.#source.length));
      else this.#text.data = code;
      this.#source = code;
      delete this.element.dataset.coloured;
    }
    if (closed && language && !this.element.dataset.coloured) {
      this.element.dataset.coloured = "waiting";
      colour(this.element, this.#code, language, () => this.#source);
    }
  }
}
