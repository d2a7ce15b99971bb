// @ts-check
/**
 * Language, theme and text size; each change holds at once.
 * @module
 */

import { byId, element } from "../dom.js";
import { language, LANGUAGES } from "../i18n.js";

export class LookPanel {
  #preferences;
  #panel = byId("panel-look", HTMLElement);
  #language = byId("language", HTMLSelectElement);

  /**
   * @param {import("../settings/preferences.js").Preferences} preferences
   * @param {(code: string) => void} onLanguage
   */
  constructor(preferences, onLanguage) {
    this.#preferences = preferences;
    for (const [code, name] of Object.entries(LANGUAGES)) {
      const option = element("option", "", name);
      option.value = code;
      option.lang = code;
      this.#language.append(option);
    }
    this.#language.addEventListener("change", () => {
      preferences.set({ language: this.#language.value });
      onLanguage(this.#language.value);
    });
    this.#panel.addEventListener("change", (event) => {
      const { target } = event;
      if (target instanceof HTMLInputElement && target.type === "radio")
        preferences.set({ [target.name]: target.value });
    });
  }

  show() {
    const { theme = "auto", size = "medium" } = this.#preferences.values;
    this.#language.value = language();
    for (const input of this.#panel.querySelectorAll("input"))
      input.checked = input.value === (input.name === "theme" ? theme : size);
  }
}
