// @ts-check
/** Keep the transcript scrolled to the end, unless the user has scrolled up. */

// Pixels from the end: up to which it counts as reached, and from which the button is shown.
const END_MARGIN = 40;
const BUTTON_MARGIN = 240;

export class StickyScroll {
  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content
   * @param {HTMLElement} button
   */
  constructor(scroller, content, button) {
    this.scroller = scroller;
    this.button = button;
    this.following = true;
    this.lastTop = 0;
    scroller.addEventListener("scroll", () => this.onScroll(), { passive: true });
    button.addEventListener("click", () => this.follow());
    const observer = new ResizeObserver(() => this.update());
    observer.observe(content);
    observer.observe(scroller);
  }

  get distanceToEnd() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight;
  }

  onScroll() {
    const isUp = this.scroller.scrollTop < this.lastTop - 1;
    this.lastTop = this.scroller.scrollTop;
    if (this.distanceToEnd <= END_MARGIN) this.following = true;
    else if (isUp) this.following = false;
    this.showButton();
  }

  /** Scroll to the end, and follow it. */
  follow() {
    this.following = true;
    this.update();
  }

  /** Scroll to the end if following. */
  update() {
    if (this.following) {
      this.scroller.scrollTop = this.scroller.scrollHeight;
      this.lastTop = this.scroller.scrollTop;
    }
    this.showButton();
  }

  /**
   * Insert content above without moving the visible content.
   * @param {() => void} change
   */
  preservePosition(change) {
    const { scroller } = this;
    const toEnd = scroller.scrollHeight - scroller.scrollTop;
    // The browser must not adjust the position, too.
    scroller.style.overflowAnchor = "none";
    change();
    if (!this.following) scroller.scrollTop = scroller.scrollHeight - toEnd;
    this.lastTop = scroller.scrollTop;
    scroller.style.overflowAnchor = "";
  }

  showButton() {
    this.button.hidden = this.following || this.distanceToEnd < BUTTON_MARGIN;
  }
}
