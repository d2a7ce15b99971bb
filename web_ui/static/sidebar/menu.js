// @ts-check
/**
 * A menu beside the button that opens it, worked by pointer or keyboard (WAI-ARIA APG, menu button pattern).
 * @module
 */

import { button, element } from "../dom.js";

/** @typedef {{label: string, onChoose: () => void, isDangerous?: boolean}} MenuItem */

const GAP_PX = 4;

/** @type {HTMLElement | null} */
let open = null;

/**
 * @param {HTMLElement} anchor the button the menu opens beside
 * @param {MenuItem[]} items
 * @param {() => HTMLElement | null} anchorNow the button that gets the focus back, which may have been drawn anew
 */
export function openMenu(anchor, items, anchorNow = () => anchor) {
  open?.remove();
  const menu = element("div", "menu");
  menu.setAttribute("role", "menu");
  menu.popover = "auto";
  for (const { label, onChoose, isDangerous } of items) {
    const entry = button(label, isDangerous ? "menu-item menu-danger" : "menu-item", () => {
      menu.hidePopover();
      onChoose();
    });
    entry.setAttribute("role", "menuitem");
    entry.tabIndex = -1;
    menu.append(entry);
  }
  menu.addEventListener("keydown", (event) => moveFocus(menu, event));
  menu.addEventListener("toggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== "closed") return;
    const home = anchorNow();
    home?.setAttribute("aria-expanded", "false");
    const hadFocus = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    if (hadFocus) home?.focus();
  });
  document.body.append(menu);
  anchor.setAttribute("aria-expanded", "true");
  menu.showPopover();
  place(menu, anchor);
  open = menu;
  /** @type {HTMLElement | null} */ (menu.firstElementChild)?.focus();
}

/**
 * @param {HTMLElement} menu
 * @param {HTMLElement} anchor
 */
function place(menu, anchor) {
  const at = anchor.getBoundingClientRect();
  const { offsetWidth: width_px, offsetHeight: height_px } = menu;
  const below = at.bottom + GAP_PX + height_px <= window.innerHeight;
  menu.style.left = `${Math.max(GAP_PX, Math.min(at.left, window.innerWidth - width_px - GAP_PX))}px`;
  menu.style.top = `${below ? at.bottom + GAP_PX : Math.max(GAP_PX, at.top - GAP_PX - height_px)}px`;
}

/**
 * @param {HTMLElement} menu
 * @param {KeyboardEvent} event
 */
function moveFocus(menu, event) {
  const entries = /** @type {HTMLElement[]} */ ([...menu.children]);
  const at = entries.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  /** @type {Record<string, number>} */
  const targets = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 };
  if (event.key === "Tab") menu.hidePopover();
  if (!(event.key in targets)) return;
  event.preventDefault();
  entries[(targets[event.key] + entries.length) % entries.length].focus();
}
