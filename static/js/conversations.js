// @ts-check
/** The list of chats at the left. */

import { byId, h, place } from "./dom.js";
import { ago } from "./time.js";

/** @typedef {import("./state.js").Conversation} Conversation */

export class ConversationList {
  /** @param {string} zone */
  constructor(zone) {
    this.zone = zone;
    this.list = byId("conversation-list");
    /** @type {Map<string, {drawn: string, element: HTMLElement}>} */
    this.items = new Map();
  }

  /**
   * @param {Conversation[]} conversations
   * @param {string} currentId
   */
  show(conversations, currentId) {
    const now = new Date();
    place(this.list, conversations.map((conversation) => this.item(conversation, conversation.id === currentId, now)));
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
      class: "conversation", href: `/c/${conversation.id}/`, "data-testid": "conversation-link", "data-id": conversation.id,
      "aria-current": current ? "page" : null,
    },
      h("span", { class: "conversation__title" }, conversation.title || "New chat"),
      h("time", { class: "conversation__time", datetime: conversation.updated_at }, when));
    const element = known?.element ?? h("li");
    // Focus stays where it is when only the time beside it changes.
    const focused = element.contains(document.activeElement);
    element.replaceChildren(link);
    if (focused) link.focus();
    this.items.set(conversation.id, { drawn, element });
    return element;
  }
}
