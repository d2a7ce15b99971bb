// @ts-check
/**
 * Notices when the program goes away and when it is back, and says so above the conversation.
 * @module
 */

import { getHealth } from "../api/program.js";
import { byId } from "../dom.js";
import { t } from "../i18n.js";

const CALM_MS = 10_000;
const LOST_MS = 2000;

export class Connection {
  #banner = byId("connection-banner", HTMLElement);
  #lost = false;
  #timer = 0;
  #running = false;
  #onBack;

  #onCalm;

  /** @param {{onBack: () => void, onCalm: () => void}} handlers told that it is back, and each time that all is well */
  constructor({ onBack, onCalm }) {
    this.#onBack = onBack;
    this.#onCalm = onCalm;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.checkNow();
    });
  }

  /** Begins to ask now and then. */
  start() {
    this.#running = true;
    this.#schedule();
  }

  /** Asks no more, for good. */
  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
    this.#banner.hidden = true;
  }

  /** Asks at once, as after a request that nothing answered. */
  checkNow() {
    clearTimeout(this.#timer);
    if (this.#running) void this.#check();
  }

  async #check() {
    const problem = await findProblem();
    if (!this.#running) return;
    if (this.#banner.textContent !== problem) this.#banner.textContent = problem;
    this.#banner.hidden = problem === "";
    if (problem === "") (this.#lost ? this.#onBack : this.#onCalm)();
    this.#lost = problem !== "";
    this.#schedule();
  }

  #schedule() {
    clearTimeout(this.#timer);
    if (this.#lost || !document.hidden) this.#timer = setTimeout(() => this.checkNow(), this.#lost ? LOST_MS : CALM_MS);
  }
}

/** @returns {Promise<string>} what is wrong, in words; nothing when all is well */
async function findProblem() {
  try {
    const health = await getHealth();
    if (health.state === "loading") return t("connection.starting");
    return health.state === "failed" ? health.message : "";
  } catch {
    return t("connection.lost");
  }
}
