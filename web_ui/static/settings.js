// @ts-check
/**
 * What this tab's user has changed of the settings that the packed file came with. Knows nothing about the page.
 * @module
 */

/**
 * @typedef {import("./api.js").Info} Info
 * @typedef {import("./api.js").ChatRequest} ChatRequest
 * @typedef {import("./api.js").RequestMessage} RequestMessage
 * @typedef {{system_prompt: string, temperature: number | null, max_tokens: number | null}} Values
 * @typedef {keyof Values} Name
 */

const STORAGE_KEY = "settings";

/** @type {Record<Name, string>} */
const KEY_PATHS = {
  system_prompt: "chat.system_prompt",
  temperature: "sampling.temperature",
  max_tokens: "sampling.max_tokens",
};

export class Settings {
  /** @type {Values} */
  #defaults = { system_prompt: "", temperature: null, max_tokens: null };
  /** @type {Partial<Values>} */
  #overrides = {};
  /** @type {ReadonlySet<string>} */
  #locked = new Set();
  #storage;

  /** @param {Storage} storage where changes survive a reload */
  constructor(storage) {
    this.#storage = storage;
  }

  /**
   * Takes the file's own settings; changes that were made for another model are forgotten.
   * @param {Info} info
   */
  load(info) {
    this.#locked = new Set(info.locked);
    this.#defaults = {
      system_prompt: info.chat.system_prompt,
      temperature: info.sampling.temperature ?? null,
      max_tokens: info.sampling.max_tokens ?? null,
    };
    this.#owner = `${info.title}\n${info.model?.name ?? ""}`;
    this.#overrides = {};
    this.change(readStored(this.#storage, this.#owner));
  }

  #owner = "";

  /** @returns {Values} */
  get defaults() {
    return this.#defaults;
  }

  /** @returns {Values} */
  get values() {
    return { ...this.#defaults, ...this.#overrides };
  }

  /**
   * @param {Name} name
   * @returns {boolean}
   */
  isLocked(name) {
    return this.#locked.has(KEY_PATHS[name]);
  }

  /**
   * Replaces all changes; what equals the default or is locked does not count as one.
   * @param {Partial<Values>} values
   */
  change(values) {
    const kept = Object.entries(values).filter(([key, value]) => {
      const name = /** @type {Name} */ (key);
      return name in KEY_PATHS && !this.isLocked(name) && value !== this.#defaults[name];
    });
    this.#overrides = Object.fromEntries(kept);
    this.#storage.setItem(STORAGE_KEY, JSON.stringify({ owner: this.#owner, values: this.#overrides }));
  }

  /**
   * Makes a request that says only what was changed, so the program's own settings hold for the rest.
   * @param {RequestMessage[]} messages
   * @returns {ChatRequest}
   */
  request(messages) {
    const { system_prompt, temperature, max_tokens } = this.#overrides;
    /** @type {ChatRequest} */
    const request = { messages };
    // An empty system prompt is sent too: it is how the file's own one is switched off.
    if (system_prompt !== undefined) request.messages = [{ role: "system", content: system_prompt }, ...messages];
    if (typeof temperature === "number") request.temperature = temperature;
    if (typeof max_tokens === "number") request.max_tokens = max_tokens;
    return request;
  }
}

/**
 * @param {Storage} storage
 * @param {string} owner
 * @returns {Partial<Values>}
 */
function readStored(storage, owner) {
  try {
    const stored = JSON.parse(storage.getItem(STORAGE_KEY) ?? "{}");
    return stored.owner === owner ? stored.values : {};
  } catch {
    return {};
  }
}
