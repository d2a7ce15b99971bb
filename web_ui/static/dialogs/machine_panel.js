// @ts-check
/**
 * The dialog that says what runs here, on what and why, and that ends the program.
 * @module
 */

import { quit } from "../api/program.js";
import { byId, closeOnBackdrop, element } from "../dom.js";
import { language, t, tn } from "../i18n.js";
import { reasonText } from "../reasons.js";
import { sizeText } from "../view/attachment_chips.js";

/**
 * @typedef {import("../api/program.js").Info} Info
 * @typedef {[name: string, value: string, why: string]} Fact
 */

export class MachinePanel {
  #dialog = byId("machine", HTMLDialogElement);
  #facts = byId("machine-facts", HTMLElement);
  #problem = byId("machine-problem", HTMLElement);
  #quit = byId("quit", HTMLButtonElement);
  #onEnded;

  /** @param {{onEnded: () => void, onOpen: () => void}} handlers */
  constructor({ onEnded, onOpen }) {
    this.#onEnded = onEnded;
    byId("open-machine", HTMLButtonElement).addEventListener("click", () => {
      this.#dialog.showModal();
      onOpen();
    });
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
      this.#problem.textContent = t("machine.not_ended", {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
    this.#quit.disabled = false;
  }
}

/**
 * @param {Info} info
 * @returns {Fact[]} only what is known
 */
function factsOf(info) {
  const { model, device, threads, context, memory, history } = info;
  /** @type {Fact[]} */
  const facts = [
    [t("machine.model"), String(model?.name ?? ""), modelDetails(model)],
    [t("machine.device"), reasonText(device?.name ?? ""), reasonText(device?.why ?? "")],
    [t("machine.cpu"), info.cpu_variant ?? "", ""],
    [
      t("machine.memory"),
      memory ? sizeText(memory.own_bytes) : "",
      memory
        ? t("machine.memory_why", {
            mapped: sizeText(memory.mapped_bytes),
            available: sizeText(memory.available_bytes),
          })
        : "",
    ],
    [t("machine.threads"), threads?.count?.toString() ?? "", reasonText(threads?.why ?? "")],
    [t("machine.context"), context ? tn("facts.tokens", context.size_tokens) : "", reasonText(context?.why ?? "")],
    [t("machine.chats"), chatsPlace(history), history?.enabled ? "" : reasonText(history?.why ?? "")],
    [t("machine.address"), info.address || location.origin, t("machine.address_why")],
    [t("machine.version"), info.version ?? "", ""],
  ];
  return facts.filter(([, value]) => value !== "");
}

/** @param {Info["history"]} history */
function chatsPlace(history) {
  if (!history) return "";
  return history.enabled ? (history.path ?? "") : t("machine.not_kept");
}

/**
 * @param {Record<string, any> | null} model
 * @returns {string}
 */
function modelDetails(model) {
  if (!model) return "";
  const parts = [model.architecture, model.quantization];
  if (model.num_parameters) parts.push(t("machine.parameters", { number: shortNumber(model.num_parameters) }));
  if (model.size_bytes) parts.push(sizeText(model.size_bytes));
  return parts.filter(Boolean).join(", ");
}

/**
 * @param {number} value
 * @returns {string} such as "7.6 billion"
 */
function shortNumber(value) {
  return new Intl.NumberFormat(language(), {
    notation: "compact",
    compactDisplay: "long",
    maximumFractionDigits: 1,
  }).format(value);
}
