// @ts-check
/**
 * Puts the parts of the page together. The page's state is the attribute `data-state` of <html>: starting, ready, ended.
 * @module
 */

import { streamAnswer } from "./api/answers.js";
import { UnreachableError } from "./api/http.js";
import { getInfo } from "./api/program.js";
import { requestMessages } from "./chat/request.js";
import { CodeDialog } from "./dialogs/code_dialog.js";
import { MachinePanel } from "./dialogs/machine_panel.js";
import { SettingsDialog } from "./dialogs/settings_dialog.js";
import { byId } from "./dom.js";
import { pickLanguage, t, useLanguage } from "./i18n.js";
import { reasonText } from "./reasons.js";
import { Preferences } from "./settings/preferences.js";
import { Presets } from "./settings/presets.js";
import { Settings } from "./settings/settings.js";
import { Drawer } from "./sidebar/drawer.js";
import { Sidebar } from "./sidebar/sidebar.js";
import { MemoryStore } from "./store/memory_store.js";
import { RemoteStore } from "./store/remote_store.js";
import { Attach } from "./view/attach.js";
import { Composer } from "./view/composer.js";
import { Connection } from "./view/connection.js";
import { ContextMeter } from "./view/context_meter.js";
import { ConversationView } from "./view/conversation_view.js";
import { errorText } from "./view/message_facts.js";
import { ScrollFollower } from "./view/scroll_follower.js";
import { waitUntilReady } from "./view/startup.js";
import { Welcome } from "./view/welcome.js";
import { Workspace } from "./workspace.js";

/**
 * @typedef {import("./api/program.js").Info} Info
 * @typedef {import("./chat/chat.js").Chat} Chat
 * @typedef {import("./chat/message.js").Message} Message
 */

class App {
  /** @type {Info | null} */
  #info = null;
  #settings = new Settings();
  #preferences;
  #presets = new Presets();
  #attach = new Attach({ onChange: (waiting) => this.#composer.filesChanged(waiting) });
  #composer = new Composer({
    onSend: (text) => this.#send(text),
    onStop: () => this.#workspace?.current.stop(),
    hasFiles: () => this.#attach.hasFiles,
  });
  #welcome = new Welcome({ onStarter: (text) => this.#send(text) });
  #connection = new Connection({
    onBack: () => void this.#refresh(),
    onCalm: () => void this.#sidebar?.refresh(),
  });
  #machine = new MachinePanel({ onEnded: () => this.#ended(), onOpen: () => void this.#refresh() });
  #code = new CodeDialog();
  #meter = new ContextMeter();
  #scroll = new ScrollFollower(
    byId("scroller", HTMLElement),
    byId("scroll-content", HTMLElement),
    byId("jump", HTMLButtonElement),
  );
  #view = new ConversationView(byId("messages", HTMLOListElement), {
    regenerate: (message) => this.#ask(() => this.#chat.regenerate(message)),
    proceed: (message) => this.#ask(() => this.#chat.proceed(message)),
    edit: (message, text) => this.#ask(() => this.#chat.edit(message, text)),
    choose: (message) => this.#chat.choose(message),
  });
  #drawer = new Drawer();
  /** @type {Workspace | null} */
  #workspace = null;
  /** @type {Sidebar | null} */
  #sidebar = null;

  /** @param {Preferences} preferences */
  constructor(preferences) {
    this.#preferences = preferences;
  }

  get #chat() {
    if (!this.#workspace) throw new Error("a chat was asked for before the page was ready");
    return this.#workspace.current;
  }

  async run() {
    void this.#loadInfo();
    await waitUntilReady();
    await this.#loadInfo();
    await this.#openWorkspace();
    document.documentElement.dataset.state = "ready";
    this.#connection.start();
    this.#composer.shown();
    this.#scroll.toEnd();
  }

  async #openWorkspace() {
    const isKept = this.#info?.history?.enabled ?? false;
    await Promise.allSettled([this.#preferences.load(isKept), this.#presets.load(isKept)]);
    const language = pickLanguage(this.#preferences.values.language, navigator.languages);
    if (language !== document.documentElement.lang.split("-")[0]) await this.#changeLanguage(language);
    new SettingsDialog(this.#settings, this.#presets, this.#preferences, {
      current: () => this.#chat.settings,
      onSave: (values) => this.#settingsSaved(values),
      onLanguage: (code) => void this.#changeLanguage(code),
    });
    const { chat_settings } = this.#preferences.values;
    const newSettings = chat_settings?.owner === this.#settings.owner ? chat_settings.values : {};
    const workspace = new Workspace(isKept ? new RemoteStore() : new MemoryStore(), newSettings, {
      ask: (chat, path, signal, beginning) => this.#answer(chat, path, signal, beginning),
      onShow: (chat) => this.#show(chat),
      onSync: (chat) => this.#sync(chat),
      onGrown: (_, message, piece, kind) => this.#view.grown(message, piece, kind),
      onChanged: (chat, message) => {
        this.#view.changed(message);
        this.#meter.show(chat);
      },
      onListChanged: () => this.#sidebar?.listChanged(),
      onProblem: (error) => this.#sidebar?.problem(t("chats.not_saved", { reason: errorText(error) })),
    });
    this.#workspace = workspace;
    this.#sidebar = new Sidebar(workspace, this.#drawer, {
      onChosen: () => this.#composer.focus(),
      why: reasonText(this.#info?.history?.why ?? ""),
    });
    window.addEventListener("pagehide", () => workspace.leave());
    this.#show(workspace.current);
    await this.#sidebar.start();
  }

  /** Shows what the program says about itself; it may say more once the model is loaded. */
  async #loadInfo() {
    try {
      this.#info = await getInfo();
    } catch {
      this.#connection.checkNow();
      return;
    }
    this.#showInfo();
  }

  #showInfo() {
    const info = this.#info;
    if (!info) return;
    byId("brand", HTMLElement).textContent = info.title;
    this.#view.assistantName = info.title;
    this.#settings.load(info);
    this.#machine.show(info);
    this.#code.show(info);
    this.#attach.show(info);
    this.#welcome.show(info);
    this.#meter.size = info.context?.size_tokens ?? 0;
    this.#showTitle();
  }

  #showTitle() {
    const title = this.#workspace?.current.title ?? "";
    const name = this.#info?.title ?? t("chat");
    byId("title", HTMLElement).textContent = title || name;
    byId("model-name", HTMLElement).textContent = this.#info ? modelLine(this.#info, title || name) : "";
    document.title = title ? `${title} · ${name}` : name;
  }

  async #refresh() {
    await this.#loadInfo();
    await this.#sidebar?.refresh();
  }

  /** @param {string} code */
  async #changeLanguage(code) {
    await useLanguage(pickLanguage(code, []));
    this.#showInfo();
    this.#sidebar?.render();
    if (this.#workspace) this.#show(this.#workspace.current);
  }

  /** @param {Record<string, any>} values */
  #settingsSaved(values) {
    this.#workspace?.useSettings(values);
    this.#preferences.set({ chat_settings: { owner: this.#settings.owner, values } });
  }

  /** @param {Chat} chat another one than before */
  #show(chat) {
    this.#view.show(chat);
    this.#sync(chat);
    this.#scroll.toEnd();
  }

  /** @param {Chat} chat */
  #sync(chat) {
    this.#view.sync();
    this.#composer.busy = chat.busy;
    this.#welcome.setStarted(chat.last !== undefined);
    this.#meter.show(chat);
    this.#showTitle();
  }

  /** @param {string} text */
  #send(text) {
    const files = this.#attach.take();
    this.#ask(() => this.#workspace?.send(text, files));
  }

  /** @param {() => void} what to do that leads to an answer */
  #ask(what) {
    what();
    this.#scroll.toEnd();
    this.#composer.focus();
  }

  /**
   * @param {Chat} chat
   * @param {readonly Message[]} path
   * @param {AbortSignal} signal
   * @param {string | null} beginning
   */
  async *#answer(chat, path, signal, beginning) {
    // An answer that the messages end with is continued.
    const begun = beginning === null ? [] : [{ role: "assistant", content: beginning }];
    const request = this.#settings.request(chat.settings, [...requestMessages(path), ...begun]);
    try {
      yield* streamAnswer(request, signal);
    } catch (error) {
      if (error instanceof UnreachableError && !signal.aborted) this.#connection.checkNow();
      throw error;
    }
  }

  #ended() {
    this.#connection.stop();
    this.#drawer.done();
    this.#workspace?.stopAll();
    document.title = t("ended.title", { title: this.#info?.title ?? "" });
    document.documentElement.dataset.state = "ended";
    byId("ended-text", HTMLElement).textContent = t("ended.text");
  }
}

/**
 * @param {Info} info
 * @param {string} heading what stands above
 * @returns {string} the model, unless the heading says it already
 */
function modelLine({ model }, heading) {
  const name = String(model?.name ?? "");
  return name === heading ? String(model?.quantization ?? "") : name;
}

const preferences = new Preferences();
await useLanguage(pickLanguage(preferences.values.language, navigator.languages));
void new App(preferences).run();
