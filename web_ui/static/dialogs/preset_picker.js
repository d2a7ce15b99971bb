// @ts-check
/**
 * Chooses, saves and deletes presets inside the settings dialog.
 * @module
 */

import { byId, element } from "../dom.js";
import { t } from "../i18n.js";
import { askForText } from "../sidebar/ask.js";

/**
 * @typedef {import("../settings/presets.js").Presets} Presets
 * @typedef {import("../settings/settings.js").Values} Values
 */

export class PresetPicker {
  #presets;
  #form;
  #select = byId("preset", HTMLSelectElement);
  #delete = byId("preset-delete", HTMLButtonElement);
  #note = byId("preset-note", HTMLElement);

  /**
   * @param {Presets} presets
   * @param {{read: () => Values, fill: (values: Values) => void}} form
   */
  constructor(presets, form) {
    this.#presets = presets;
    this.#form = form;
    this.#select.addEventListener("change", () => this.#choose());
    this.#delete.addEventListener("click", () => void this.#try(() => this.#remove()));
    byId("preset-save", HTMLButtonElement).addEventListener("click", () => void this.#try(() => this.#save()));
  }

  /** @param {string} chosen the id of the preset that is chosen */
  show(chosen = "") {
    const options = [{ id: "", name: t("presets.none") }, ...this.#presets.all].map(({ id, name }) => {
      const option = element("option", "", name);
      option.value = id;
      return option;
    });
    this.#select.replaceChildren(...options);
    this.#select.value = chosen;
    this.#delete.hidden = chosen === "";
    this.#note.textContent = "";
  }

  get #chosen() {
    return this.#presets.all.find(({ id }) => id === this.#select.value);
  }

  #choose() {
    const preset = this.#chosen;
    this.#delete.hidden = !preset;
    this.#note.textContent = preset ? t("presets.filled_in") : "";
    if (preset) this.#form.fill({ ...preset.sampling, system_prompt: preset.system_prompt });
  }

  async #save() {
    const name = await askForText(
      t("presets.name"),
      this.#chosen?.name ?? "",
      this.#presets.all.map((preset) => preset.name),
    );
    if (!name) return;
    const { system_prompt = "", ...sampling } = this.#form.read();
    const given = Object.fromEntries(Object.entries(sampling).filter(([, value]) => typeof value === "number"));
    const saved = await this.#presets.save({ name, system_prompt, sampling: given });
    this.show(saved.id);
    this.#note.textContent = t("presets.saved", { name });
  }

  async #remove() {
    const preset = this.#chosen;
    if (!preset) return;
    await this.#presets.remove(preset.id);
    this.show();
    this.#note.textContent = t("presets.deleted", { name: preset.name });
  }

  /** @param {() => Promise<void>} task */
  async #try(task) {
    try {
      await task();
    } catch (error) {
      this.#note.textContent = error instanceof Error ? error.message : String(error);
    }
  }
}
