// @ts-check
/**
 * Settings under a name. Kept by the program; where it keeps nothing, for as long as the page is open.
 * @module
 */

import { call } from "../api/http.js";

/** @typedef {{id: string, name: string, system_prompt: string, sampling: Record<string, any>}} Preset */

export class Presets {
  /** @type {Preset[]} */
  #presets = [];
  #isKept = false;

  /** @returns {readonly Preset[]} by name */
  get all() {
    return this.#presets;
  }

  /** @param {boolean} isKept */
  async load(isKept) {
    this.#isKept = isKept;
    if (isKept) this.#presets = (await call("GET", "/api/presets")).presets;
    this.#sort();
  }

  /**
   * Saves a preset; one of the same name is replaced.
   * @param {Omit<Preset, "id">} preset
   * @returns {Promise<Preset>}
   */
  async save(preset) {
    const same = this.#presets.find(({ name }) => name === preset.name);
    const saved = this.#isKept ? await this.#send(preset, same) : { ...preset, id: same?.id ?? `here-${preset.name}` };
    this.#presets = [...this.#presets.filter((other) => other !== same), saved];
    this.#sort();
    return saved;
  }

  /** @param {string} id */
  async remove(id) {
    if (this.#isKept) await call("DELETE", `/api/presets/${encodeURIComponent(id)}`);
    this.#presets = this.#presets.filter((preset) => preset.id !== id);
  }

  /**
   * @param {Omit<Preset, "id">} preset
   * @param {Preset | undefined} same
   * @returns {Promise<Preset>}
   */
  async #send(preset, same) {
    return same
      ? await call("PUT", `/api/presets/${encodeURIComponent(same.id)}`, preset)
      : await call("POST", "/api/presets", preset);
  }

  #sort() {
    this.#presets = [...this.#presets].sort((one, other) => one.name.localeCompare(other.name));
  }
}
