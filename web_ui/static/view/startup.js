// @ts-check
/**
 * The first thing seen: how far loading is, or why it failed and what to do.
 * @module
 */

import { getHealth } from "../api/program.js";
import { byId } from "../dom.js";
import { number, t } from "../i18n.js";

const POLL_MS = 300;
const GONE_MS = 2000;

/** @typedef {import("../api/program.js").Health} Health */

/**
 * Waits until the model is loaded, showing progress. Resolves when it is; asks again on request after a failure, and by
 * itself where nothing answers, since the program may be starting again.
 * @returns {Promise<void>}
 */
export async function waitUntilReady() {
  const view = new StartupView();
  for (;;) {
    const health = await askHealth();
    if (health?.state === "ready") break;
    view.show(health ?? { state: "failed", message: t("startup.no_answer") });
    if (health === null) await Promise.race([view.retryAsked(), passed(GONE_MS)]);
    else await (health.state === "failed" ? view.retryAsked() : passed(POLL_MS));
  }
  view.hide();
}

/** @returns {Promise<Health | null>} nothing where nothing answers */
async function askHealth() {
  try {
    return await getHealth();
  } catch {
    return null;
  }
}

/** @param {number} milliseconds */
function passed(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

class StartupView {
  #section = byId("startup", HTMLElement);
  #stage = byId("startup-stage", HTMLElement);
  #progress = byId("startup-progress", HTMLProgressElement);
  #hint = byId("startup-hint", HTMLElement);
  #retry = byId("startup-retry", HTMLButtonElement);

  /** @param {Health} health */
  show(health) {
    const failed = health.state === "failed";
    this.#section.classList.toggle("startup-failed", failed);
    this.#progress.hidden = failed;
    this.#retry.hidden = !failed;
    if (health.state === "loading") this.#showLoading(health.stage, health.progress);
    if (health.state === "failed") {
      setText(this.#stage, health.message);
      setText(this.#hint, t("startup.failed_hint"));
    }
  }

  /**
   * @param {string} stage
   * @param {number | null} progress from 0 to 1
   */
  #showLoading(stage, progress) {
    const key = `startup.stage_${stage.replaceAll(" ", "_")}`;
    const known = t(key);
    setText(this.#stage, known === key ? stage.charAt(0).toUpperCase() + stage.slice(1) : known);
    if (progress === null) this.#progress.removeAttribute("value");
    else this.#progress.value = progress;
    setText(this.#hint, progress === null ? "" : `${number(progress * 100)} %`);
  }

  /** @returns {Promise<void>} settled by the next press of the button */
  retryAsked() {
    return new Promise((resolve) => this.#retry.addEventListener("click", () => resolve(), { once: true }));
  }

  hide() {
    this.#section.hidden = true;
  }
}

/**
 * Sets text only when it differs, so that screen readers are not told the same again.
 * @param {HTMLElement} target
 * @param {string} text
 */
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
