// @ts-check
/** A link that loads the next page of a list, when it is clicked or nearly in view. */

const ROOT_MARGIN = "600px";

export class LoadMore {
  /**
   * @param {HTMLElement} element  contains the link; hidden if there is no next page
   * @param {() => Promise<boolean>} load  returns whether items were added
   * @param {Element | null} root  the scroll container; null for the viewport
   */
  constructor(element, load, root = element.parentElement) {
    this.element = element;
    this.load = load;
    this.loading = false;
    this.observer = new IntersectionObserver((entries) => entries.some(({ isIntersecting }) => isIntersecting) && void this.loadNext(), {
      root,
      rootMargin: ROOT_MARGIN,
    });
    element.addEventListener("click", (event) => {
      event.preventDefault();
      void this.loadNext();
    });
  }

  /** @param {boolean} hasMore */
  show(hasMore) {
    if (this.element.hidden === !hasMore) return;
    this.element.hidden = !hasMore;
    this.watch();
  }

  /** Load the next page when the link is nearly in view, also if it already is. */
  watch() {
    this.observer.unobserve(this.element);
    this.observer.observe(this.element);
  }

  async loadNext() {
    if (this.loading || this.element.hidden) return;
    this.loading = true;
    const added = await this.load();
    this.loading = false;
    // If the link is still in view, the observer fires only after being reset.
    if (added) this.watch();
  }
}
