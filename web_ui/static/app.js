// @ts-check
/**
 * Puts the parts of the page together. The page's state is the attribute `data-state` of <html>: starting, ready, ended.
 * @module
 */

import { getInfo, streamChat, UnreachableError } from "./api.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { ConversationView } from "./conversation_view.js";
import { byId } from "./dom.js";
import { MachinePanel } from "./machine_panel.js";
import { ScrollFollower } from "./scroll_follower.js";
import { Settings } from "./settings.js";
import { SettingsDialog } from "./settings_dialog.js";
import { waitUntilReady } from "./startup.js";
import { Welcome } from "./welcome.js";

/**
 * @typedef {import("./api.js").Info} Info
 * @typedef {import("./api.js").RequestMessage} RequestMessage
 */

class App {
  #title = "";
  #settings = new Settings(sessionStorage);
  #composer = new Composer({ onSend: (text) => this.#send(text), onStop: () => this.#chat.stop() });
  #welcome = new Welcome({ onStarter: (text) => this.#send(text) });
  #connection = new Connection({ onBack: () => void this.#loadInfo() });
  #machine = new MachinePanel({ onEnded: () => this.#ended() });
  #scroll = new ScrollFollower(
    byId("scroller", HTMLElement),
    byId("scroll-content", HTMLElement),
    byId("jump", HTMLButtonElement),
  );
  #view = new ConversationView(byId("messages", HTMLOListElement), {
    onRegenerate: () => this.#regenerate(),
    onBusy: (busy) => (this.#composer.busy = busy),
  });
  #chat = new Chat((messages, signal) => this.#answer(messages, signal), this.#view);

  async run() {
    new SettingsDialog(this.#settings);
    byId("new-chat", HTMLButtonElement).addEventListener("click", () => this.#newChat());
    void this.#loadInfo();
    await waitUntilReady();
    await this.#loadInfo();
    document.documentElement.dataset.state = "ready";
    this.#connection.start();
    this.#composer.shown();
  }

  /** Shows what the program says about itself; it may say more once the model is loaded. */
  async #loadInfo() {
    try {
      this.#show(await getInfo());
    } catch {
      this.#connection.checkNow();
    }
  }

  /** @param {Info} info */
  #show(info) {
    this.#title = info.title;
    document.title = info.title;
    byId("title", HTMLElement).textContent = info.title;
    byId("model-name", HTMLElement).textContent = modelLine(info);
    this.#view.assistantName = info.title;
    this.#settings.load(info);
    this.#machine.show(info);
    this.#welcome.show(info);
    this.#welcome.setStarted(this.#chat.messages.length > 0);
  }

  /** @param {string} text */
  #send(text) {
    this.#chat.send(text);
    this.#welcome.setStarted(this.#chat.messages.length > 0);
    this.#scroll.toEnd();
    this.#composer.focus();
  }

  #regenerate() {
    this.#chat.regenerate();
    this.#scroll.toEnd();
    this.#composer.focus();
  }

  #newChat() {
    this.#chat.reset();
    this.#welcome.setStarted(false);
    this.#scroll.toEnd();
    this.#composer.focus();
  }

  /**
   * @param {RequestMessage[]} messages
   * @param {AbortSignal} signal
   */
  async *#answer(messages, signal) {
    try {
      yield* streamChat(this.#settings.request(messages), signal);
    } catch (error) {
      if (error instanceof UnreachableError && !signal.aborted) this.#connection.checkNow();
      throw error;
    }
  }

  #ended() {
    this.#connection.stop();
    this.#chat.stop();
    document.title = `Ended: ${this.#title}`;
    document.documentElement.dataset.state = "ended";
    byId("ended-text", HTMLElement).textContent = "The program has ended. You can close this tab.";
  }
}

/**
 * @param {Info} info
 * @returns {string} the model, unless the title says it already
 */
function modelLine({ title, model }) {
  const name = String(model?.name ?? "");
  return name === title ? String(model?.quantization ?? "") : name;
}

void new App().run();
