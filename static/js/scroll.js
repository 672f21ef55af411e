// @ts-check
/** Keep the newest words in view for who is reading them, and leave alone who has scrolled up. */

const NEAR = 40;
const FAR = 240;

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
    scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    button.addEventListener("click", () => this.follow());
    const observer = new ResizeObserver(() => this.settle());
    observer.observe(content);
    observer.observe(scroller);
  }

  get distance() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight;
  }

  scrolled() {
    const up = this.scroller.scrollTop < this.lastTop - 1;
    this.lastTop = this.scroller.scrollTop;
    if (this.distance <= NEAR) this.following = true;
    else if (up) this.following = false;
    this.showButton();
  }

  /** Go to the end, and stay there. */
  follow() {
    this.following = true;
    this.settle();
  }

  settle() {
    if (this.following) {
      this.scroller.scrollTop = this.scroller.scrollHeight;
      this.lastTop = this.scroller.scrollTop;
    }
    this.showButton();
  }

  /**
   * Change what stands above without moving what is in view.
   * @param {() => void} change
   */
  keep(change) {
    const { scroller } = this;
    const below = scroller.scrollHeight - scroller.scrollTop;
    // The browser is not to do the same once more.
    scroller.style.overflowAnchor = "none";
    change();
    if (!this.following) scroller.scrollTop = scroller.scrollHeight - below;
    this.lastTop = scroller.scrollTop;
    scroller.style.overflowAnchor = "";
  }

  showButton() {
    this.button.hidden = this.following || this.distance < FAR;
  }
}
