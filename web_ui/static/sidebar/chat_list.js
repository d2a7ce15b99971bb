// @ts-check
/**
 * The list of chats: opening, searching, renaming, pinning, filing, deleting and its undoing.
 * @module
 */

import { byId, element, iconButton } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { groupChats } from "./chat_groups.js";
import { openMenu } from "./menu.js";

/**
 * @typedef {import("../store/remote_store.js").ChatSummary} ChatSummary
 * @typedef {object} ChatListHandlers
 * @property {(id: string) => void} onOpen
 * @property {(chat: ChatSummary, title: string) => void} onRename
 * @property {(chat: ChatSummary) => void} onPin
 * @property {(chat: ChatSummary) => void} onFile
 * @property {(chat: ChatSummary) => void} onDelete
 * @property {(chat: ChatSummary, format: "markdown" | "json") => void} onExport
 * @property {(query: string) => void} onSearch
 */

const SEARCH_DELAY_MS = 120;

export class ChatList {
  #list = byId("chat-list", HTMLElement);
  #search = byId("chat-search", HTMLInputElement);
  #handlers;
  /** @type {ChatSummary[]} */
  #chats = [];
  /** @type {string | null} */
  #current = null;
  /** @type {ReadonlySet<string>} */
  #writing = new Set();
  /** What was last asked to be shown, so that nothing is drawn anew under the pointer that has not changed. */
  #shown = "";
  #timer = 0;

  /** @param {ChatListHandlers} handlers */
  constructor(handlers) {
    this.#handlers = handlers;
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => handlers.onSearch(this.query), SEARCH_DELAY_MS);
    });
    this.#list.addEventListener("keydown", (event) => this.#keyPressed(event));
  }

  /** What is searched for. */
  get query() {
    return this.#search.value.trim();
  }

  /** @returns {string[]} the names of all folders */
  get folders() {
    return [...new Set(this.#chats.flatMap(({ folder }) => (folder ? [folder] : [])))].sort();
  }

  /**
   * @param {ChatSummary[]} chats
   * @param {string | null} current the one that is open
   * @param {ReadonlySet<string>} writing those in which an answer is being written
   */
  show(chats, current, writing) {
    const shown = JSON.stringify([chats, current, [...writing], this.query]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#chats = chats;
    this.#current = current;
    this.#writing = writing;
    this.render();
  }

  /** Draws the list anew, as after a change of language. */
  render() {
    // Whoever renames a chat must not lose the field.
    if (this.#list.querySelector(".chat-rename")) return;
    const focus = this.#list.contains(document.activeElement) ? document.activeElement : null;
    const focused = focus?.closest(".chat-row")?.querySelector(".chat-open")?.getAttribute("data-chat");
    const button = focus?.classList.contains("chat-more") ? ".chat-more" : ".chat-open";
    if (this.#chats.length === 0) {
      this.#list.replaceChildren(element("p", "chat-list-empty", t(this.query ? "chats.none_found" : "chats.none")));
      return;
    }
    const groups = groupChats(this.#chats, new Date(), t);
    this.#list.replaceChildren(...groups.map((group) => this.#group(group)));
    if (focused) this.#buttonOf(focused, button)?.focus();
  }

  /**
   * @param {import("./chat_groups.js").Group} group
   * @returns {HTMLElement}
   */
  #group({ title, isFolder, chats }) {
    const rows = element("ul", "chat-rows", ...chats.map((chat) => this.#row(chat)));
    const heading = element("h2", isFolder ? "chat-group chat-folder" : "chat-group", title);
    rows.setAttribute("aria-label", title);
    return element("section", "", heading, rows);
  }

  /**
   * @param {ChatSummary} chat
   * @returns {HTMLLIElement}
   */
  #row(chat) {
    const open = element("button", "chat-open", element("span", "chat-title", chat.title || t("chats.untitled")));
    open.type = "button";
    open.dir = "auto";
    open.dataset.chat = chat.id;
    open.addEventListener("click", () => this.#handlers.onOpen(chat.id));
    if (chat.snippet && this.query) open.append(element("span", "chat-snippet", withoutMarks(chat.snippet)));
    if (chat.id === this.#current) open.setAttribute("aria-current", "true");
    const more = iconButton(
      t("chats.more", { title: chat.title || t("chats.untitled") }),
      icon("more"),
      "action chat-more",
      () => this.#openMenu(chat, more),
    );
    more.setAttribute("aria-haspopup", "menu");
    const row = element("li", "chat-row", open, more);
    if (this.#writing.has(chat.id)) {
      row.classList.add("chat-writing");
      open.append(element("span", "visually-hidden", t("chats.writing")));
    }
    return row;
  }

  /**
   * @param {ChatSummary} chat
   * @param {HTMLElement} anchor
   */
  #openMenu(chat, anchor) {
    const { onPin, onFile, onExport, onDelete } = this.#handlers;
    const items = [
      { label: t("chats.rename"), onChoose: () => this.#rename(chat) },
      { label: t(chat.pinned ? "chats.unpin" : "chats.pin"), onChoose: () => onPin(chat) },
      { label: t("chats.file"), onChoose: () => onFile(chat) },
      { label: t("chats.export_markdown"), onChoose: () => onExport(chat, "markdown") },
      { label: t("chats.export_json"), onChoose: () => onExport(chat, "json") },
      { label: t("chats.delete"), onChoose: () => onDelete(chat), isDangerous: true },
    ];
    openMenu(anchor, items, () => this.#buttonOf(chat.id, ".chat-more"));
  }

  /** @param {ChatSummary} chat */
  #rename(chat) {
    // The list may have been drawn anew since its menu was opened.
    const row = this.#rowOf(chat.id)?.closest(".chat-row");
    if (!row) return;
    const field = element("input", "chat-rename");
    field.value = chat.title;
    field.dir = "auto";
    field.maxLength = 200;
    field.setAttribute("aria-label", t("chats.new_title"));
    let isOver = false;
    const end = (/** @type {boolean} */ keep) => {
      if (isOver) return;
      isOver = true;
      const title = field.value.trim();
      field.remove();
      this.render();
      this.#rowOf(chat.id)?.focus();
      if (keep && title && title !== chat.title) this.#handlers.onRename(chat, title);
    };
    field.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
      event.stopPropagation();
    });
    field.addEventListener("blur", () => end(true));
    row.replaceChildren(field);
    // The menu gives its focus back when it closes.
    requestAnimationFrame(() => {
      field.focus();
      field.select();
    });
  }

  /**
   * @param {string} id
   * @returns {HTMLElement | null}
   */
  #rowOf(id) {
    return this.#list.querySelector(`[data-chat="${CSS.escape(id)}"]`);
  }

  /**
   * @param {string} id
   * @param {string} selector one of the two buttons of a row
   * @returns {HTMLElement | null}
   */
  #buttonOf(id, selector) {
    return this.#rowOf(id)?.closest(".chat-row")?.querySelector(selector) ?? null;
  }

  /** @param {KeyboardEvent} event */
  #keyPressed(event) {
    const rows = /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll(".chat-open")]);
    const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (at < 0) return;
    if (event.key === "ArrowDown") rows[Math.min(at + 1, rows.length - 1)].focus();
    else if (event.key === "ArrowUp") rows[Math.max(at - 1, 0)].focus();
    else if (event.key === "Delete") {
      const chat = this.#chats.find(({ id }) => id === rows[at].dataset.chat);
      if (chat) this.#handlers.onDelete(chat);
    } else return;
    event.preventDefault();
  }
}

/**
 * @param {string} snippet a piece of Markdown
 * @returns {string} its words alone
 */
function withoutMarks(snippet) {
  return snippet.replace(/\*\*|__|`+|^[#>\s]+/g, "");
}
