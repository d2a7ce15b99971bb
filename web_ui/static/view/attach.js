// @ts-check
/**
 * Files for the next message: chosen, dropped or pasted, read by the program, shown above the field.
 * @module
 */

import { readFile } from "../api/attachments.js";
import { announce } from "../announcer.js";
import { byId, element } from "../dom.js";
import { t } from "../i18n.js";
import { reasonText } from "../reasons.js";
import { attachmentChip, sizeText } from "./attachment_chips.js";
import { fitPicture } from "./fit_picture.js";

/**
 * @typedef {import("../chat/message.js").Attachment} Attachment
 * @typedef {{file: File, read: Attachment | null, controller: AbortController}} Entry
 */

export class Attach {
  #list = byId("attachments", HTMLElement);
  #problem = byId("attach-problem", HTMLElement);
  #input = byId("attach-input", HTMLInputElement);
  #button = byId("attach", HTMLButtonElement);
  /** @type {Entry[]} */
  #entries = [];
  /** @type {import("../api/program.js").Info["attachments"]} */
  #limits;
  #onChange;

  /** @param {{onChange: (waiting: boolean) => void}} handlers told whether some files are still being read */
  constructor({ onChange }) {
    this.#onChange = onChange;
    this.#button.addEventListener("click", () => this.#input.click());
    this.#input.addEventListener("change", () => {
      this.add([...(this.#input.files ?? [])]);
      this.#input.value = "";
    });
    const stage = byId("stage", HTMLElement);
    stage.addEventListener("dragover", (event) => this.#dragged(event, true));
    stage.addEventListener("dragleave", (event) => this.#dragged(event, false));
    stage.addEventListener("drop", (event) => this.#dragged(event, false));
    byId("composer-input", HTMLTextAreaElement).addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0 || !this.#limits) return;
      event.preventDefault();
      this.add(files);
    });
  }

  /** @param {import("../api/program.js").Info} info */
  show({ attachments }) {
    this.#limits = attachments;
    this.#button.hidden = !attachments;
  }

  get hasFiles() {
    return this.#entries.length > 0;
  }

  /** @returns {Attachment[]} the files that were read, which are then no longer here */
  take() {
    const read = this.#entries.flatMap((entry) => (entry.read ? [entry.read] : []));
    this.#entries = [];
    this.#forgetProblems();
    this.#render();
    return read;
  }

  /** @param {File[]} files */
  add(files) {
    const limits = this.#limits;
    if (!limits) return;
    this.#forgetProblems();
    for (const file of files) {
      if (file.type.startsWith("image/") && !limits.images) this.#say(t("attach.no_images", { why: reasonText(limits.why) }));
      else if (file.size > limits.max_bytes) {
        this.#say(
          t("attach.too_large", { name: file.name, size: sizeText(file.size), limit: sizeText(limits.max_bytes) }),
        );
      } else void this.#read(file);
    }
  }

  /** @param {File} file */
  async #read(file) {
    /** @type {Entry} */
    const entry = { file, read: null, controller: new AbortController() };
    this.#entries.push(entry);
    this.#render();
    try {
      entry.read = await readFile(await fitPicture(file), entry.controller.signal);
      announce(t("attach.added", { name: file.name }));
    } catch (error) {
      if (!entry.controller.signal.aborted)
        this.#say(t("attach.failed", { name: file.name, reason: reasonOf(error, file.name) }));
      this.#entries = this.#entries.filter((other) => other !== entry);
    }
    this.#render();
  }

  #render() {
    this.#list.hidden = this.#entries.length === 0;
    this.#list.replaceChildren(
      ...this.#entries.map((entry) => {
        const shown = entry.read ?? { name: entry.file.name, media_type: entry.file.type, size_bytes: entry.file.size };
        return attachmentChip(shown, () => this.#remove(entry), entry.read ? "" : t("attach.reading"));
      }),
    );
    this.#onChange(this.#entries.some((entry) => entry.read === null));
  }

  /** @param {Entry} entry */
  #remove(entry) {
    entry.controller.abort();
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#render();
    byId("composer-input", HTMLTextAreaElement).focus();
  }

  /** @param {string} problem one of perhaps several */
  #say(problem) {
    this.#problem.hidden = false;
    this.#problem.append(element("span", "", problem));
  }

  #forgetProblems() {
    this.#problem.hidden = true;
    this.#problem.replaceChildren();
  }

  /**
   * @param {DragEvent} event
   * @param {boolean} isOver
   */
  #dragged(event, isOver) {
    if (!this.#limits || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.documentElement.classList.toggle("dropping", isOver);
    if (event.type === "drop") this.add([...event.dataTransfer.files]);
  }
}

/**
 * @param {unknown} error
 * @param {string} name of the file
 * @returns {string} why it was refused, without the name that is said anyway
 */
function reasonOf(error, name) {
  const reason = error instanceof Error ? error.message : "";
  return reason.startsWith(`${name}: `) ? reason.slice(name.length + 2) : reason;
}
