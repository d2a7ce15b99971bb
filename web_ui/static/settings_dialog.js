// @ts-check
/**
 * The dialog in which the settings are changed.
 * @module
 */

import { byId, closeOnBackdrop } from "./dom.js";

/**
 * @typedef {import("./settings.js").Settings} Settings
 * @typedef {import("./settings.js").Name} Name
 */

const LOCKED_TEXT = "Locked by the packer.";

export class SettingsDialog {
  #settings;
  #dialog = byId("settings", HTMLDialogElement);
  #prompt = byId("system-prompt", HTMLTextAreaElement);
  #temperature = byId("temperature", HTMLInputElement);
  #maxTokens = byId("max-tokens", HTMLInputElement);

  /** @param {Settings} settings */
  constructor(settings) {
    this.#settings = settings;
    byId("open-settings", HTMLButtonElement).addEventListener("click", () => this.#open());
    byId("settings-cancel", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    byId("settings-reset", HTMLButtonElement).addEventListener("click", () => this.#reset());
    byId("settings-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    closeOnBackdrop(this.#dialog);
  }

  #open() {
    const { defaults, values } = this.#settings;
    this.#prompt.value = values.system_prompt;
    this.#prompt.placeholder = "None";
    this.#temperature.value = values.temperature?.toString() ?? "";
    this.#maxTokens.value = values.max_tokens?.toString() ?? "";
    this.#temperature.placeholder = defaults.temperature?.toString() ?? "";
    this.#maxTokens.placeholder = defaults.max_tokens?.toString() ?? "no limit";
    this.#describe(this.#prompt, "system_prompt", "Instructions the model gets before the conversation.");
    this.#describe(this.#temperature, "temperature", "0 always takes the likeliest word.");
    this.#describe(this.#maxTokens, "max_tokens", "A token is about three quarters of a word.");
    this.#dialog.showModal();
  }

  /**
   * @param {HTMLInputElement | HTMLTextAreaElement} field
   * @param {Name} name
   * @param {string} text
   */
  #describe(field, name, text) {
    const locked = this.#settings.isLocked(name);
    field.disabled = locked;
    field.removeAttribute("aria-invalid");
    const note = byId(`${field.id}-note`, HTMLElement);
    note.textContent = locked ? LOCKED_TEXT : text;
    note.classList.toggle("field-locked", locked);
    note.classList.remove("field-problem");
  }

  #reset() {
    const { defaults } = this.#settings;
    this.#prompt.value = defaults.system_prompt;
    this.#temperature.value = defaults.temperature?.toString() ?? "";
    this.#maxTokens.value = defaults.max_tokens?.toString() ?? "";
  }

  #save() {
    const sound = [
      this.#check(this.#temperature, "Expected a number from 0 to 5."),
      this.#check(this.#maxTokens, "Expected a whole number, 1 or more, or nothing."),
    ].every(Boolean);
    if (!sound) return;
    const { defaults } = this.#settings;
    this.#settings.change({
      system_prompt: this.#prompt.value,
      temperature: this.#temperature.value === "" ? defaults.temperature : this.#temperature.valueAsNumber,
      max_tokens: this.#maxTokens.value === "" ? defaults.max_tokens : this.#maxTokens.valueAsNumber,
    });
    this.#dialog.close();
  }

  /**
   * @param {HTMLInputElement} field
   * @param {string} problem
   * @returns {boolean} whether the field may be saved
   */
  #check(field, problem) {
    if (field.disabled || field.validity.valid) return true;
    const note = byId(`${field.id}-note`, HTMLElement);
    note.textContent = problem;
    note.classList.add("field-problem");
    field.setAttribute("aria-invalid", "true");
    field.focus();
    return false;
  }
}
