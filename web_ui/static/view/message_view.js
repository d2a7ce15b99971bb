// @ts-check
/**
 * Shows one message: what it says, what came with it, what can be done with it, and what went wrong.
 * @module
 */

import { isOpen } from "../chat/message.js";
import { copyButton } from "../clipboard.js";
import { button, element, iconButton } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { RichText } from "../text/rich_text.js";
import { attachmentChips } from "./attachment_chips.js";
import { editMessage } from "./message_editor.js";
import { answerFacts, noticeNodes } from "./message_facts.js";
import { ReasoningView } from "./reasoning_view.js";
import { toolCallNodes, toolResultNode } from "./tool_calls.js";

/**
 * @typedef {import("../chat/message.js").Message} Message
 * @typedef {object} MessageActions
 * @property {(message: Message) => void} regenerate
 * @property {(message: Message) => void} proceed
 * @property {(message: Message, text: string) => void} edit
 * @property {(message: Message) => void} choose
 */

/**
 * What a message needs to know of the chat around it.
 * @typedef {{versions: Message[], isLast: boolean, canProceed: boolean, busy: boolean}} Surroundings
 */

export class MessageView {
  /** @type {HTMLLIElement} */
  element;
  #message;
  #do;
  #main = element("div", "message-main");
  #body = element("div", "message-body");
  #calls = element("div", "message-calls");
  #notice = element("div", "message-notice");
  #actions = element("div", "message-actions");
  #waiting = element("p", "waiting", element("span", "", t("message.waiting")), element("span", "waiting-dots"));
  #text = new RichText(this.#body);
  /** @type {ReasoningView | null} */
  #reasoning = null;
  /** @type {Surroundings} */
  #around = { versions: [], isLast: false, canProceed: false, busy: false };

  /**
   * @param {Message} message
   * @param {string} speaker
   * @param {MessageActions} actions
   */
  constructor(message, speaker, actions) {
    this.#message = message;
    this.#do = actions;
    this.element = element(
      "li",
      `message message-${message.role}`,
      element("h2", "message-speaker", speaker),
      this.#main,
    );
    if (message.attachments.length > 0) this.#main.append(attachmentChips(message.attachments));
    this.#main.append(this.#body, this.#calls, this.#notice, this.#actions);
    this.#body.dir = "auto";
    if (message.role === "tool") this.#body.replaceWith(toolResultNode(message));
    // What the reader wrote is shown as it was written; only answers are Markdown.
    else if (message.role !== "assistant") this.#body.append(element("p", "plain", message.content));
    else this.#text.set(message.content);
    if (message.content === "") this.#body.classList.add("message-wordless");
    this.update();
  }

  /**
   * @param {string} piece
   * @param {"text" | "reasoning"} kind
   */
  grow(piece, kind) {
    if (kind === "text") this.#text.append(piece);
    if (kind === "reasoning" || this.#reasoning) this.#showReasoning();
  }

  /** @param {Surroundings} around */
  place(around) {
    const before = this.#around;
    this.#around = around;
    const isSame =
      before.isLast === around.isLast &&
      before.canProceed === around.canProceed &&
      before.busy === around.busy &&
      before.versions === around.versions &&
      Number(this.element.dataset.versions) === around.versions.length;
    if (!isSame) this.#showActions();
  }

  /** Shows the message's state. */
  update() {
    const message = this.#message;
    const open = isOpen(message);
    this.element.dataset.state = message.state;
    this.element.setAttribute("aria-busy", String(open));
    this.#waiting.remove();
    if (message.state === "waiting") this.#body.after(this.#waiting);
    if (message.reasoning !== "") this.#showReasoning();
    this.#calls.replaceChildren(...toolCallNodes(message.tool_calls));
    if (!open && message.role === "assistant") {
      if (this.#text.text === message.content) this.#text.finish();
      else this.#text.set(message.content);
    }
    this.#showActions();
  }

  #showReasoning() {
    if (!this.#reasoning) {
      this.#reasoning = new ReasoningView();
      this.#main.insertBefore(this.#reasoning.element, this.#body);
    }
    this.#reasoning.show(this.#message);
  }

  #showActions() {
    const message = this.#message;
    const { versions, busy, isLast, canProceed } = this.#around;
    const open = isOpen(message);
    this.element.dataset.versions = String(versions.length);
    this.#actions.hidden = open;
    this.#notice.replaceChildren();
    if (open) return;
    const isAnswer = message.role === "assistant";
    const again = () => this.#do.regenerate(message);
    const proceed = isLast && canProceed && !busy ? () => this.#do.proceed(message) : null;
    if (isAnswer) this.#notice.replaceChildren(...noticeNodes(message, isLast && !busy ? again : null, proceed));
    this.#actions.replaceChildren();
    if (versions.length > 1) this.#actions.append(this.#switch(versions, busy));
    if (message.content !== "") this.#actions.append(copyButton(t("copy.message"), () => message.content));
    if (message.role !== "tool" && !busy && message.content !== "") {
      this.#actions.append(iconButton(t("message.edit"), icon("edit"), "action action-edit", () => this.#edit()));
    }
    if (isAnswer && !busy) {
      this.#actions.append(iconButton(t("message.regenerate"), icon("again"), "action action-regenerate", again));
      if (proceed)
        this.#actions.append(iconButton(t("message.continue"), icon("proceed"), "action action-proceed", proceed));
    }
    if (isAnswer) this.#actions.append(element("span", "message-facts", answerFacts(message)));
  }

  /**
   * @param {Message[]} versions
   * @param {boolean} busy
   * @returns {HTMLElement} the way to the other versions of this message
   */
  #switch(versions, busy) {
    const index = versions.indexOf(this.#message);
    const step = (
      /** @type {string} */ label,
      /** @type {"left" | "right"} */ name,
      /** @type {Message | undefined} */ target,
    ) => {
      const made = iconButton(label, icon(name), `action action-${name}`, () => target && this.#do.choose(target));
      made.disabled = busy || !target;
      return made;
    };
    const count = element(
      "span",
      "versions-count",
      t("message.version", { number: index + 1, count: versions.length }),
    );
    const group = element("span", "versions", step(t("message.earlier"), "left", versions[index - 1]), count);
    group.append(step(t("message.later"), "right", versions[index + 1]));
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", t("message.versions"));
    return group;
  }

  #edit() {
    const editor = editMessage(this.#message, {
      onSave: (text) => this.#do.edit(this.#message, text),
      onClose: () => {
        editor.replaceWith(this.#body);
        this.#actions.hidden = false;
        delete this.element.dataset.editing;
      },
    });
    this.element.dataset.editing = "true";
    this.#actions.hidden = true;
    this.#body.replaceWith(editor);
    editor.querySelector("textarea")?.focus();
  }
}
