// @ts-check
/**
 * Keeps the newest text in sight, but only for a reader who is at the end; whoever scrolls up is left in peace.
 * @module
 */

const NEAR_PX = 40;

export class ScrollFollower {
  #scroller;
  #jump;
  #following = true;
  #lastTop = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content its growing content
   * @param {HTMLElement} jump shown while the end is out of sight
   */
  constructor(scroller, content, jump) {
    this.#scroller = scroller;
    this.#jump = jump;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    jump.addEventListener("click", () => this.toEnd());
    const observer = new ResizeObserver(() => this.#resized());
    observer.observe(scroller);
    observer.observe(content);
  }

  /** Goes to the end and follows it from now on. */
  toEnd() {
    this.#following = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#show();
  }

  #scrolled() {
    const top = this.#scroller.scrollTop;
    // Text that grew since the last frame also widens the gap; only moving up means that the reader wants to stay.
    if (this.#gap() <= NEAR_PX) this.#following = true;
    else if (top < this.#lastTop) this.#following = false;
    this.#lastTop = top;
    this.#show();
  }

  #resized() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#show();
  }

  #gap() {
    return this.#scroller.scrollHeight - this.#scroller.clientHeight - this.#scroller.scrollTop;
  }

  #show() {
    this.#jump.hidden = this.#following || this.#gap() <= NEAR_PX;
  }
}
