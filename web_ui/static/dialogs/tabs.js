// @ts-check
/**
 * Tabs: one panel of several in sight, chosen by pointer or arrow keys (WAI-ARIA APG, tabs pattern).
 * @module
 */

/**
 * @param {HTMLElement} list holds the tabs
 * @param {(tab: HTMLElement) => void} onChoose
 * @returns {(tab: HTMLElement) => void} chooses a tab
 */
export function setUpTabs(list, onChoose) {
  const tabs = () => /** @type {HTMLElement[]} */ ([...list.querySelectorAll("[role=tab]")]);

  /** @param {HTMLElement} chosen */
  function choose(chosen) {
    for (const tab of tabs()) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    onChoose(chosen);
  }

  list.addEventListener("click", (event) => {
    const tab = event.target instanceof Element ? event.target.closest("[role=tab]") : null;
    if (tab instanceof HTMLElement) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const all = tabs();
    const at = all.findIndex((tab) => tab === document.activeElement);
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (at < 0 || step === 0) return;
    event.preventDefault();
    const next = all[(at + step + all.length) % all.length];
    next.focus();
    choose(next);
  });
  return choose;
}
