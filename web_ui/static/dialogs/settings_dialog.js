// @ts-check
/**
 * The dialog in which the settings are changed: those of the answers, and the look of the page.
 * @module
 */

import { byId, closeOnBackdrop, element } from "../dom.js";
import { t } from "../i18n.js";
import { fieldId, SAMPLING_FIELDS } from "../settings/fields.js";
import { LookPanel } from "./look_panel.js";
import { PresetPicker } from "./preset_picker.js";
import { setUpTabs } from "./tabs.js";

/**
 * @typedef {import("../settings/settings.js").Settings} Settings
 * @typedef {import("../settings/settings.js").Values} Values
 */

export class SettingsDialog {
  #settings;
  #handlers;
  #dialog = byId("settings", HTMLDialogElement);
  #prompt = byId("system-prompt", HTMLTextAreaElement);
  /** @type {Map<string, HTMLInputElement>} */
  #inputs = new Map();
  #presets;
  #look;
  #chooseTab;

  /**
   * @param {Settings} settings
   * @param {import("../settings/presets.js").Presets} presets
   * @param {import("../settings/preferences.js").Preferences} preferences
   * @param {{current: () => Values, onSave: (values: Values) => void, onLanguage: (code: string) => void}} handlers
   */
  constructor(settings, presets, preferences, handlers) {
    this.#settings = settings;
    this.#handlers = handlers;
    this.#presets = new PresetPicker(presets, { read: () => this.#read(), fill: (values) => this.#fill(values) });
    this.#look = new LookPanel(preferences, handlers.onLanguage);
    byId("open-settings", HTMLButtonElement).addEventListener("click", () => this.#open());
    for (const id of ["settings-cancel", "look-close"])
      byId(id, HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    byId("settings-reset", HTMLButtonElement).addEventListener("click", () =>
      this.#fill({ ...this.#settings.defaults }),
    );
    byId("panel-answers", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    closeOnBackdrop(this.#dialog);
    this.#chooseTab = setUpTabs(byId("settings-tabs", HTMLElement), (tab) => {
      byId("panel-answers", HTMLElement).hidden = tab.id !== "tab-answers";
      byId("panel-look", HTMLElement).hidden = tab.id !== "tab-look";
    });
  }

  #open() {
    this.#makeFields();
    const values = { ...this.#settings.defaults, ...this.#settings.changes(this.#handlers.current()) };
    this.#fill(values);
    this.#prompt.placeholder = t("settings.none");
    this.#describe(this.#prompt, "system_prompt");
    for (const [name, input] of this.#inputs) this.#describe(input, name);
    this.#presets.show();
    this.#look.show();
    this.#chooseTab(byId("tab-answers", HTMLElement));
    this.#dialog.showModal();
  }

  #makeFields() {
    this.#inputs.clear();
    const [main, more] = [byId("sampling-fields", HTMLElement), byId("more-fields", HTMLElement)];
    main.replaceChildren();
    more.replaceChildren();
    for (const field of SAMPLING_FIELDS) {
      const id = fieldId(field.name);
      const label = element("label", "", t(`sampling.${field.name}`));
      const input = element("input");
      const note = element("p", "field-note");
      Object.assign(input, {
        id,
        type: "number",
        min: String(field.min),
        max: String(field.max),
        step: field.isWhole ? "1" : "any",
      });
      input.inputMode = field.isWhole ? "numeric" : "decimal";
      label.htmlFor = id;
      note.id = `${id}-note`;
      input.setAttribute("aria-describedby", note.id);
      this.#inputs.set(field.name, input);
      (field.isMain ? main : more).append(element("div", "field", label, input, note));
    }
  }

  /** @param {Values} values in place of those on the page; locked ones stay */
  #fill(values) {
    const { defaults } = this.#settings;
    if (!this.#settings.isLocked("system_prompt") || !this.#dialog.open)
      this.#prompt.value = values.system_prompt ?? defaults.system_prompt ?? "";
    for (const [name, input] of this.#inputs) {
      if (this.#settings.isLocked(name) && this.#dialog.open) continue;
      input.value = (values[name] ?? defaults[name])?.toString() ?? "";
      input.placeholder = defaults[name]?.toString() ?? t("settings.unset");
    }
  }

  /** @returns {Values} what stands on the page; what is empty has its default */
  #read() {
    /** @type {Values} */
    const values = { system_prompt: this.#prompt.value };
    for (const [name, input] of this.#inputs)
      values[name] = input.value === "" ? this.#settings.defaults[name] : input.valueAsNumber;
    return values;
  }

  /**
   * @param {HTMLInputElement | HTMLTextAreaElement} field
   * @param {string} name
   */
  #describe(field, name) {
    const locked = this.#settings.isLocked(name);
    field.disabled = locked;
    field.removeAttribute("aria-invalid");
    const note = byId(`${field.id}-note`, HTMLElement);
    note.textContent = locked
      ? t("settings.locked")
      : t(name === "system_prompt" ? "settings.system_prompt_note" : `sampling.${name}_note`);
    note.classList.toggle("field-locked", locked);
    note.classList.remove("field-problem");
  }

  #save() {
    const problems = SAMPLING_FIELDS.filter((field) => !this.#check(field));
    if (problems.length > 0) {
      const first = this.#inputs.get(problems[0].name);
      const folded = first?.closest("details");
      if (folded) folded.open = true;
      first?.focus();
      return;
    }
    this.#handlers.onSave(this.#settings.changes(this.#read()));
    this.#dialog.close();
  }

  /**
   * @param {import("../settings/fields.js").SamplingField} field
   * @returns {boolean} whether it may be saved
   */
  #check({ name, min, max, isWhole }) {
    const input = this.#inputs.get(name);
    if (!input) return true;
    this.#describe(input, name);
    if (input.disabled || input.validity.valid) return true;
    const note = byId(`${input.id}-note`, HTMLElement);
    note.textContent = t(isWhole ? "settings.expected_whole" : "settings.expected_number", { min, max });
    note.classList.add("field-problem");
    input.setAttribute("aria-invalid", "true");
    return false;
  }
}
