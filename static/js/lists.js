// @ts-check
/** Load the next pages of the archive, the trash and all chats while scrolling. */

import { byId } from "./dom.js";
import { More } from "./more.js";

for (const element of document.querySelectorAll("[data-more]")) goOn(/** @type {HTMLElement} */ (element));

/** @param {HTMLElement} element  holds the link to the next page */
function goOn(element) {
  const list = byId(element.dataset.more ?? "");
  const link = /** @type {HTMLAnchorElement} */ (element.querySelector("a"));
  const load = async () => {
    try {
      const answer = await fetch(link.href);
      if (!answer.ok || answer.redirected) return false;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const known = new Set([...list.children].map((line) => /** @type {HTMLElement} */ (line).dataset.id));
      const lines = /** @type {NodeListOf<HTMLElement>} */ (page.querySelectorAll(`#${list.id} > li`));
      list.append(...[...lines].filter(({ dataset }) => !known.has(dataset.id)));
      const next = page.querySelector(`[data-more="${list.id}"] a`)?.getAttribute("href");
      if (next) link.setAttribute("href", next);
      more.show(Boolean(next));
      return Boolean(next);
    } catch {
      // The link stays for another attempt.
      return false;
    }
  };
  const more = new More(element, load, null);
  more.watch();
}
