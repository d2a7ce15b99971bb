// @ts-check
/**
 * The dialog that says what runs here, on what and why, and that ends the program.
 * @module
 */

import { quit } from "./api.js";
import { byId, closeOnBackdrop, element } from "./dom.js";

/**
 * @typedef {import("./api.js").Info} Info
 * @typedef {[name: string, value: string, why: string]} Fact
 */

export class MachinePanel {
  #dialog = byId("machine", HTMLDialogElement);
  #facts = byId("machine-facts", HTMLElement);
  #problem = byId("machine-problem", HTMLElement);
  #quit = byId("quit", HTMLButtonElement);
  #onEnded;

  /** @param {{onEnded: () => void}} handlers */
  constructor({ onEnded }) {
    this.#onEnded = onEnded;
    byId("open-machine", HTMLButtonElement).addEventListener("click", () => this.#dialog.showModal());
    byId("machine-close", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    this.#quit.addEventListener("click", () => void this.#end());
    closeOnBackdrop(this.#dialog);
  }

  /** @param {Info} info */
  show(info) {
    this.#facts.replaceChildren(
      ...factsOf(info).map(([name, value, why]) => {
        const description = element("dd", "", element("span", "fact-value", value));
        if (why) description.append(element("span", "fact-why", why));
        return element("div", "fact", element("dt", "", name), description);
      }),
    );
  }

  async #end() {
    this.#quit.disabled = true;
    this.#problem.textContent = "";
    try {
      await quit();
      this.#dialog.close();
      this.#onEnded();
    } catch (error) {
      this.#problem.textContent = `The program did not end: ${error instanceof Error ? error.message : error}`;
    }
    this.#quit.disabled = false;
  }
}

/**
 * @param {Info} info
 * @returns {Fact[]} only what is known
 */
export function factsOf(info) {
  const { model, device, threads, context } = info;
  /** @type {Fact[]} */
  const facts = [
    ["Model", String(model?.name ?? ""), modelDetails(model)],
    ["Device", device?.name ?? "", device?.why ?? ""],
    ["CPU variant", info.cpu_variant ?? "", ""],
    ["Threads", threads?.count?.toString() ?? "", threads?.why ?? ""],
    ["Context", context ? `${context.size_tokens.toLocaleString("en")} tokens` : "", context?.why ?? ""],
    ["Address", info.address || location.origin, "answers on this machine only"],
    ["Version", info.version ?? "", ""],
  ];
  return facts.filter(([, value]) => value !== "");
}

/**
 * @param {Record<string, any> | null} model
 * @returns {string}
 */
function modelDetails(model) {
  if (!model) return "";
  const parts = [model.architecture, model.quantization];
  if (model.num_parameters) parts.push(`${shortNumber(model.num_parameters)} parameters`);
  if (model.size_bytes) parts.push(sizeText(model.size_bytes));
  return parts.filter(Boolean).join(", ");
}

/**
 * @param {number} value
 * @returns {string} such as "7.6 billion"
 */
function shortNumber(value) {
  return new Intl.NumberFormat("en", { notation: "compact", compactDisplay: "long", maximumFractionDigits: 1 }).format(value);
}

/**
 * @param {number} size_bytes
 * @returns {string}
 */
function sizeText(size_bytes) {
  const mebibytes = size_bytes / 2 ** 20;
  return mebibytes >= 1024 ? `${(mebibytes / 1024).toFixed(1)}\u00a0GiB` : `${mebibytes.toFixed(0)}\u00a0MiB`;
}
