// @ts-check
/** Load further pages of the archive, the trash and all chats on scroll. */

import { byId } from "./dom.js";
import { LoadMore } from "./loadmore.js";

for (const element of document.querySelectorAll("[data-more]")) paginate(/** @type {HTMLElement} */ (element));

/** @param {HTMLElement} element  contains the link to the next page */
function paginate(element) {
  const list = byId(element.dataset.more ?? "");
  const link = /** @type {HTMLAnchorElement} */ (element.querySelector("a"));
  const load = async () => {
    try {
      const response = await fetch(link.href);
      if (!response.ok || response.redirected) return false;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const knownIds = new Set([...list.children].map((item) => /** @type {HTMLElement} */ (item).dataset.id));
      const items = /** @type {NodeListOf<HTMLElement>} */ (page.querySelectorAll(`#${list.id} > li`));
      list.append(...[...items].filter(({ dataset }) => !knownIds.has(dataset.id)));
      const next = page.querySelector(`[data-more="${list.id}"] a`)?.getAttribute("href");
      if (next) link.setAttribute("href", next);
      more.show(Boolean(next));
      return Boolean(next);
    } catch {
      // The link stays, so that the user can retry.
      return false;
    }
  };
  const more = new LoadMore(element, load, null);
  more.watch();
}
