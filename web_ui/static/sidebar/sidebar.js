// @ts-check
/**
 * Everything beside the conversation: the list of chats, and what is done with chats as a whole.
 * @module
 */

import { byId } from "../dom.js";
import { t, tn } from "../i18n.js";
import { download } from "../store/download.js";
import { askForText } from "./ask.js";
import { ChatList } from "./chat_list.js";
import { openMenu } from "./menu.js";
import { showToast } from "./toast.js";

/**
 * @typedef {import("../store/remote_store.js").ChatSummary} ChatSummary
 * @typedef {import("../workspace.js").Workspace} Workspace
 */

const HASH = "#chat=";

export class Sidebar {
  #workspace;
  #drawer;
  #onChosen;
  #why;
  #list;
  #note = byId("chats-note", HTMLElement);
  #problem = "";
  /** Whether the list is being fetched, and whether it must be again. */
  #fetching = false;
  #stale = false;
  /** Until the chat that the address names is open, the address leads. */
  #isReadingAddress = false;

  /**
   * @param {Workspace} workspace
   * @param {import("./drawer.js").Drawer} drawer
   * @param {{onChosen: () => void, why: string}} options `why` chats are not kept, if they are not
   */
  constructor(workspace, drawer, { onChosen, why }) {
    this.#workspace = workspace;
    this.#drawer = drawer;
    this.#onChosen = onChosen;
    this.#why = why;
    this.#list = new ChatList({
      onOpen: (id) => void this.#try(() => this.#open(id)),
      onRename: (chat, title) => void this.#change(chat, { title }),
      onPin: (chat) => void this.#change(chat, { pinned: !chat.pinned }),
      onFile: (chat) => void this.#file(chat),
      onDelete: (chat) => void this.#try(() => this.#delete(chat)),
      onExport: (chat, format) => void this.#try(() => this.#export(chat.id, format)),
      onSearch: () => this.listChanged(),
    });
    for (const id of ["new-chat", "new-chat-here"])
      byId(id, HTMLButtonElement).addEventListener("click", () => this.#startChat());
    const menu = byId("chats-menu", HTMLButtonElement);
    menu.addEventListener("click", () => this.#openMenu(menu));
    const input = byId("import-input", HTMLInputElement);
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      input.value = "";
      for (const file of files) void this.#try(() => this.#take(file));
    });
    window.addEventListener("popstate", () => void this.#try(() => this.#openFromAddress()));
    window.addEventListener("focus", () => void this.refresh());
    document.addEventListener("keydown", (event) => this.#keyPressed(event));
  }

  /** Opens the chat that the address names and shows the list. */
  async start() {
    this.render();
    await Promise.all([this.#try(() => this.#openFromAddress()), this.#fetch()]);
  }

  /** Writes everything anew, as after a change of language. */
  render() {
    this.#showNote();
    this.#list.render();
  }

  #showNote() {
    const { isKept } = this.#workspace.store;
    const notes = [isKept ? "" : [t("chats.not_kept"), this.#why].filter(Boolean).join(" "), this.#problem].filter(
      Boolean,
    );
    this.#note.hidden = notes.length === 0;
    this.#note.textContent = notes.join(" ");
  }

  /** Fetches the list again, soon. */
  listChanged() {
    this.#problem = "";
    void this.#fetch();
  }

  /** Looks what other browsers have changed; a message that is being edited stays in its place. */
  async refresh() {
    const mayShow = () => document.querySelector(".editor") === null;
    await Promise.all([this.#fetch(), mayShow() ? this.#workspace.refresh(mayShow).catch(() => undefined) : null]);
  }

  /** @param {string} text says why a chat could not be kept */
  problem(text) {
    this.#problem = text;
    this.render();
  }

  async #fetch() {
    if (!this.#isReadingAddress) this.#nameInAddress();
    this.#stale = true;
    if (this.#fetching) return;
    this.#fetching = true;
    try {
      while (this.#stale) {
        this.#stale = false;
        const chats = await this.#workspace.store.list(this.#list.query);
        this.#list.show(chats, this.#workspace.current.id, this.#workspace.writing);
      }
      this.#showNote();
    } catch (error) {
      // What could not be saved matters more than a list that is not new.
      if (!this.#problem) this.problem(error instanceof Error ? error.message : String(error));
    } finally {
      this.#fetching = false;
    }
  }

  /** Keeps the address in step, so that a reload and the Back button find the chat. */
  #nameInAddress() {
    const { id } = this.#workspace.current;
    const wanted = id ? `${HASH}${encodeURIComponent(id)}` : "";
    if (!this.#workspace.store.isKept || location.hash === wanted) return;
    const address = wanted || location.pathname;
    // The first message gives a chat its name; the empty chat before is no place to go back to.
    if (location.hash === "" && id) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
  }

  async #openFromAddress() {
    const id = location.hash.startsWith(HASH) ? decodeURIComponent(location.hash.slice(HASH.length)) : "";
    if (!id) {
      if (this.#workspace.current.id) this.#workspace.startChat();
      return;
    }
    this.#isReadingAddress = true;
    try {
      await this.#workspace.open(id);
    } catch (error) {
      history.replaceState(null, "", location.pathname);
      throw error;
    } finally {
      this.#isReadingAddress = false;
    }
    void this.#fetch();
  }

  /** @param {string} id */
  async #open(id) {
    await this.#workspace.open(id);
    this.#drawer.done();
    this.#onChosen();
    void this.#fetch();
  }

  #startChat() {
    this.#workspace.startChat();
    this.#drawer.done();
    this.#onChosen();
    void this.#fetch();
  }

  /**
   * @param {ChatSummary} chat
   * @param {Record<string, any>} fields
   */
  async #change(chat, fields) {
    await this.#try(async () => {
      await this.#workspace.store.change(chat.id, fields);
      this.#workspace.changedInStore(chat.id, fields);
      await this.#fetch();
    });
  }

  /** @param {ChatSummary} chat */
  async #file(chat) {
    const folder = await askForText(t("chats.folder"), chat.folder ?? "", this.#list.folders);
    if (folder !== null) await this.#change(chat, { folder });
  }

  /** @param {ChatSummary} chat */
  async #delete(chat) {
    const wasShown = this.#workspace.current.id === chat.id;
    if (wasShown) {
      this.#workspace.current.stop();
      this.#workspace.startChat();
    }
    await this.#workspace.store.remove(chat.id);
    await this.#fetch();
    byId("new-chat", HTMLButtonElement).focus();
    showToast(t("chats.deleted", { title: chat.title || t("chats.untitled") }), {
      label: t("chats.undo"),
      onPress: () =>
        void this.#try(async () => {
          await this.#workspace.store.restore(chat.id);
          if (wasShown) await this.#workspace.open(chat.id);
          await this.#fetch();
        }),
    });
  }

  /** @param {HTMLElement} anchor */
  #openMenu(anchor) {
    openMenu(anchor, [
      { label: t("chats.import"), onChoose: () => byId("import-input", HTMLInputElement).click() },
      { label: t("chats.export_all_markdown"), onChoose: () => void this.#try(() => this.#export(null, "markdown")) },
      { label: t("chats.export_all_json"), onChoose: () => void this.#try(() => this.#export(null, "json")) },
    ]);
  }

  /**
   * @param {string | null} id
   * @param {"markdown" | "json"} format
   */
  async #export(id, format) {
    download(await this.#workspace.store.exported(id, format));
  }

  /** @param {File} file */
  async #take(file) {
    const count = await this.#workspace.store.imported(file);
    await this.#fetch();
    showToast(tn("chats.imported", count));
  }

  /** @param {KeyboardEvent} event */
  #keyPressed(event) {
    if (!(event.ctrlKey || event.metaKey) || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    if (event.shiftKey && key === "o") this.#startChat();
    else if (!event.shiftKey && key === "k") {
      this.#drawer.set(true);
      byId("chat-search", HTMLInputElement).focus();
    } else return;
    event.preventDefault();
  }

  /** @param {() => Promise<void>} task */
  async #try(task) {
    try {
      await task();
    } catch (error) {
      showToast(error instanceof Error ? error.message : String(error));
    }
  }
}
