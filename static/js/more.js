// @ts-check
/** A link to more of a list: followed by itself when it comes into view, and by whoever presses it. */

const AHEAD = "600px";

export class More {
  /**
   * @param {HTMLElement} element  holds the link; hidden where there is no more
   * @param {() => Promise<boolean>} load  tells whether something came
   * @param {Element | null} root  what scrolls; null for the page
   */
  constructor(element, load, root = element.parentElement) {
    this.element = element;
    this.load = load;
    this.loading = false;
    this.observer = new IntersectionObserver((entries) => entries.some(({ isIntersecting }) => isIntersecting) && void this.go(), {
      root,
      rootMargin: AHEAD,
    });
    element.addEventListener("click", (event) => {
      event.preventDefault();
      void this.go();
    });
  }

  /** @param {boolean} there  whether there is more */
  show(there) {
    if (this.element.hidden === !there) return;
    this.element.hidden = !there;
    this.watch();
  }

  /** Follow the link when it is in view, from now on. */
  watch() {
    this.observer.unobserve(this.element);
    this.observer.observe(this.element);
  }

  async go() {
    if (this.loading || this.element.hidden) return;
    this.loading = true;
    const came = await this.load();
    this.loading = false;
    // It may still be in view, of which the browser gives no other notice.
    if (came) this.watch();
  }
}
