// @ts-check
/**
 * Small helpers for building the page out of nodes. Text only ever enters through `textContent` or text nodes.
 * @module
 */

/**
 * Finds an element that page.html must have. Throws when page and script do not fit together.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {{new (): T, prototype: T}} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`page.html: expected a ${type.name} with the id ${id}, found ${found ? found.tagName : "nothing"}`);
  }
  return found;
}

/**
 * Makes an element; strings among the children become text nodes.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/**
 * @param {string} label
 * @param {string} className
 * @param {() => void} onClick
 * @returns {HTMLButtonElement}
 */
export function button(label, className, onClick) {
  const made = element("button", className, label);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

/**
 * A button that shows only an icon; `label` is its name for screen readers and on hovering.
 * @param {string} label
 * @param {Node} picture
 * @param {string} className
 * @param {() => void} onClick
 * @returns {HTMLButtonElement}
 */
export function iconButton(label, picture, className, onClick) {
  const made = button("", className, onClick);
  made.append(picture);
  made.setAttribute("aria-label", label);
  made.title = label;
  return made;
}

/**
 * Closes a modal dialog when the darkened page around it is clicked.
 * @param {HTMLDialogElement} dialog
 */
export function closeOnBackdrop(dialog) {
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target !== dialog) return;
    const box = dialog.getBoundingClientRect();
    const inside =
      event.clientX >= box.left &&
      event.clientX <= box.right &&
      event.clientY >= box.top &&
      event.clientY <= box.bottom;
    if (!inside) dialog.close();
  });
}

/** @returns {boolean} whether focusing a text field would not pop up an on-screen keyboard */
export function hasFinePointer() {
  return window.matchMedia("(pointer: fine)").matches;
}
