// @ts-check
/** The list of chats in the left sidebar. */

import { byId, h, icon, setChildren } from "./dom.js";
import { conversationMenu } from "./menu.js";
import { url } from "./site.js";
import { relativeTime } from "./time.js";

/** @typedef {import("./state.js").Conversation} Conversation */

const WAITING = "Waiting for your decision";

export class ConversationList {
  /** @param {string} zone */
  constructor(zone) {
    this.zone = zone;
    this.list = byId("conversation-list");
    /** @type {Map<string, {key: string, element: HTMLElement, menu: HTMLElement, menuKey: string}>} */
    this.items = new Map();
    /** @type {unknown[]} */
    this.shownInputs = [];
  }

  /**
   * @param {Conversation[]} conversations
   * @param {string} currentId
   */
  show(conversations, currentId) {
    const now = new Date();
    // Relative times change by the minute.
    const inputs = [conversations, currentId, Math.floor(now.getTime() / 60_000)];
    if (inputs.every((value, index) => value === this.shownInputs[index])) return;
    this.shownInputs = inputs;
    const focusedField = /** @type {HTMLElement | null} */ (this.list.querySelector(".rename :focus"));
    setChildren(this.list, conversations.map((conversation) => this.itemOf(conversation, conversation.id === currentId, now)));
    if (focusedField?.isConnected) focusedField.focus({ preventScroll: true });
    byId("no-conversations").hidden = conversations.length > 0;
  }

  /**
   * @param {Conversation} conversation
   * @param {boolean} isCurrent
   * @param {Date} now
   */
  itemOf(conversation, isCurrent, now) {
    const when = relativeTime(conversation.updated_at, now, this.zone);
    const key = JSON.stringify([conversation, isCurrent, when]);
    const shown = this.items.get(conversation.id);
    if (shown?.key === key) return shown.element;
    const link = h("a", {
      class: "conversation", href: url(`/c/${conversation.id}/`), "data-testid": "conversation-link", "data-id": conversation.id,
      "aria-current": isCurrent ? "page" : null,
    },
      conversation.pinned && h("span", { class: "conversation__pin" }, icon("pin"), h("span", { class: "sr-only" }, "Pinned")),
      h("span", { class: "conversation__title", title: conversation.title || null }, conversation.title || "New chat"),
      conversation.waiting && h("span", { class: "conversation__waiting", "data-testid": "waiting", title: WAITING }, icon("alert"), h("span", { class: "sr-only" }, WAITING)),
      h("time", { class: "conversation__time", datetime: conversation.updated_at }, when));
    // An open menu stays open when only the time changes.
    const menuKey = JSON.stringify([conversation.title, conversation.pinned]);
    const menu = shown?.menuKey === menuKey ? shown.menu : conversationMenu(conversation);
    const element = shown?.element ?? h("li", { class: "conversation-item" });
    const focused = element.contains(document.activeElement) && (document.activeElement?.closest(".menu, .rename")?.className ?? "link");
    if (menu === shown?.menu) element.firstElementChild?.replaceWith(link);
    else element.replaceChildren(link, menu, ...element.querySelectorAll(".rename"));
    if (focused === "link") link.focus();
    else if (focused === "menu" && menu !== shown?.menu) /** @type {HTMLElement} */ (menu.firstElementChild).focus();
    this.items.set(conversation.id, { key, element, menu, menuKey });
    return element;
  }
}

/**
 * Search while the user types. The module is loaded at the first focus; until then the form opens the search page.
 * @param {string} zone
 */
export function setUpSearch(zone) {
  const field = /** @type {HTMLInputElement} */ (byId("search-field"));
  const load = async () => {
    const { Search } = await import("./search.js");
    new Search(zone);
  };
  // The browser may have restored the text or the focus.
  if (field.value || field === document.activeElement) void load();
  else field.addEventListener("focus", load, { once: true });
}
