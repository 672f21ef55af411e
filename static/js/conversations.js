// @ts-check
/** The list of chats at the left. */

import { byId, h, icon, place } from "./dom.js";
import { menu } from "./menu.js";
import { url } from "./site.js";
import { ago } from "./time.js";

/** @typedef {import("./state.js").Conversation} Conversation */

const WAITING = "Waiting for your decision";

export class ConversationList {
  /** @param {string} zone */
  constructor(zone) {
    this.zone = zone;
    this.list = byId("conversation-list");
    /** @type {Map<string, {drawn: string, element: HTMLElement, menu: HTMLElement, offered: string}>} */
    this.items = new Map();
    /** @type {unknown[]} */
    this.shown = [];
  }

  /**
   * @param {Conversation[]} conversations
   * @param {string} currentId
   */
  show(conversations, currentId) {
    const now = new Date();
    // A reply that streams changes nothing here; what is shown of times changes by the minute.
    const shown = [conversations, currentId, Math.floor(now.getTime() / 60_000)];
    if (shown.every((value, index) => value === this.shown[index])) return;
    this.shown = shown;
    const renaming = /** @type {HTMLElement | null} */ (this.list.querySelector(".rename :focus"));
    place(this.list, conversations.map((conversation) => this.item(conversation, conversation.id === currentId, now)));
    if (renaming?.isConnected) renaming.focus({ preventScroll: true });
    byId("no-conversations").hidden = conversations.length > 0;
  }

  /**
   * @param {Conversation} conversation
   * @param {boolean} current
   * @param {Date} now
   */
  item(conversation, current, now) {
    const when = ago(conversation.updated_at, now, this.zone);
    const drawn = JSON.stringify([conversation, current, when]);
    const known = this.items.get(conversation.id);
    if (known?.drawn === drawn) return known.element;
    const link = h("a", {
      class: "conversation", href: url(`/c/${conversation.id}/`), "data-testid": "conversation-link", "data-id": conversation.id,
      "aria-current": current ? "page" : null,
    },
      conversation.pinned && h("span", { class: "conversation__pin" }, icon("pin"), h("span", { class: "sr-only" }, "Pinned")),
      h("span", { class: "conversation__title", title: conversation.title || null }, conversation.title || "New chat"),
      conversation.waiting && h("span", { class: "conversation__waiting", "data-testid": "waiting", title: WAITING }, icon("alert"), h("span", { class: "sr-only" }, WAITING)),
      h("time", { class: "conversation__time", datetime: conversation.updated_at }, when));
    // A menu that is open stays open when only the time beside it changes.
    const offered = JSON.stringify([conversation.title, conversation.pinned]);
    const options = known?.offered === offered ? known.menu : menu(conversation);
    const element = known?.element ?? h("li", { class: "lined" });
    // Focus stays where it is, too.
    const focused = element.contains(document.activeElement) && (document.activeElement?.closest(".menu, .rename")?.className ?? "link");
    if (options === known?.menu) element.firstElementChild?.replaceWith(link);
    else element.replaceChildren(link, options, ...element.querySelectorAll(".rename"));
    if (focused === "link") link.focus();
    else if (focused === "menu" && options !== known?.menu) /** @type {HTMLElement} */ (options.firstElementChild).focus();
    this.items.set(conversation.id, { drawn, element, menu: options, offered });
    return element;
  }
}

/**
 * Search while one types. What searches is loaded with the first focus; until then the form leads to the page of results.
 * @param {string} zone
 */
export function setUpSearch(zone) {
  const field = /** @type {HTMLInputElement} */ (byId("search-field"));
  const load = async () => {
    const { Search } = await import("./search.js");
    new Search(zone);
  };
  // What the browser put back by itself is searched for at once.
  if (field.value || field === document.activeElement) void load();
  else field.addEventListener("focus", load, { once: true });
}
