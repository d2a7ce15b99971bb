// @ts-check
/**
 * The dialog "Use from code".
 * @module
 */

import { button, byId, closeOnBackdrop } from "../dom.js";
import { CodeBlock } from "../text/code_block.js";
import { snippets } from "./snippets.js";
import { setUpTabs } from "./tabs.js";

export class CodeDialog {
  #dialog = byId("code", HTMLDialogElement);
  #tabs = byId("code-tabs", HTMLElement);
  #panel = byId("code-panel", HTMLElement);
  #address = location.origin;
  #model = "any";
  #chooseTab;

  constructor() {
    byId("open-code", HTMLButtonElement).addEventListener("click", () => this.#open());
    byId("code-close", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    closeOnBackdrop(this.#dialog);
    this.#chooseTab = setUpTabs(this.#tabs, (tab) => this.#show(tab.id.replace("code-tab-", "")));
  }

  /** @param {import("../api/program.js").Info} info */
  show(info) {
    this.#model = String(info.model?.name ?? "any");
  }

  #open() {
    const tabs = snippets(this.#address, this.#model).map(({ name }) => {
      const tab = button(name, "", () => undefined);
      tab.id = `code-tab-${name}`;
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", "code-panel");
      return tab;
    });
    this.#tabs.replaceChildren(...tabs);
    this.#chooseTab(tabs[0]);
    this.#dialog.showModal();
  }

  /** @param {string} name */
  #show(name) {
    const found = snippets(this.#address, this.#model).find((snippet) => snippet.name === name);
    if (!found) return;
    this.#panel.setAttribute("aria-labelledby", `code-tab-${name}`);
    this.#panel.replaceChildren(new CodeBlock({ code: found.code, language: found.language, closed: true }).element);
  }
}
