// @ts-check
/** Pin, archive, trash, restore and rename chats without leaving the page, and show the notice about the open one. */

import { byId, h } from "./dom.js";
import { actionButton, closeMenus, conversationMenu, setUpMenus } from "./menu.js";
import { url } from "./site.js";
import { dayAndMonth } from "./time.js";
import { toast } from "./toast.js";

/** @typedef {import("./state.js").Conversation} Conversation */
/** @typedef {import("./state.js").State} State */

const NO_CONNECTION = "That was not done: there is no connection.";

export class ChatActions {
  /** @param {{changed: (conversation: Conversation) => void, signedOut: () => void, zone: string}} page */
  constructor(page) {
    this.page = page;
    this.menu = byId("bar-menu");
    this.notice = byId("retention-notice");
    /** @type {State | null} */
    this.state = null;
    /** @type {unknown[]} */
    this.shownInputs = [];
    this.menuKey = "";
    this.noticeHtml = "";
    setUpMenus();
    document.addEventListener("click", (event) => {
      const link = /** @type {Element} */ (event.target).closest?.("[data-rename]");
      if (!(link instanceof HTMLAnchorElement)) return;
      event.preventDefault();
      void this.rename(link);
    });
    byId("action-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const button = /** @type {HTMLButtonElement} */ (/** @type {SubmitEvent} */ (event).submitter);
      void this.submit(button.formAction, button.value);
    });
  }

  /** @param {HTMLAnchorElement} link  to the form that renames a chat */
  async rename(link) {
    const { rename: id, title = "" } = link.dataset;
    const conversation = () => [this.state?.conversation, ...(this.state?.conversations ?? [])].find((each) => each?.id === id);
    const container = link.closest(".conversation-item") ?? byId("bar-middle");
    closeMenus(null);
    try {
      const { renameInline } = await import("./rename.js");
      renameInline(container, () => conversation()?.title ?? title, (newTitle) => this.submit(url(`/c/${id}/shelf/`), "rename", newTitle));
    } catch {
      location.assign(link.href);
    }
  }

  /**
   * @param {string} path
   * @param {string} action
   * @param {string} [title]
   */
  async submit(path, action, title) {
    const focused = document.activeElement;
    closeMenus(null);
    const token = /** @type {HTMLInputElement} */ (document.querySelector("#action-form [name=csrfmiddlewaretoken]")).value;
    const body = new URLSearchParams({ csrfmiddlewaretoken: token, do: action, ...(title && { title }) });
    try {
      const response = await fetch(path, { method: "POST", body, headers: { accept: "application/json" } });
      if (response.redirected) return this.page.signedOut();
      const data = await response.json();
      if (!response.ok) return toast.show(data.error.detail);
      this.page.changed(data.conversation);
      // Keyboard users continue at the toast, as the chat may have left the list.
      const focus = title === undefined && focused !== null && focused !== document.body;
      toast.show(data.said, { undo: data.undo && actionButton(data.conversation, data.undo, "toast__undo", "Undo"), focus });
    } catch {
      toast.show(NO_CONNECTION);
    }
  }

  /** @param {State} state */
  show(state) {
    this.state = state;
    const { conversation } = state;
    // Dates such as "soon" depend on the time.
    const inputs = [conversation, state.leaving, Math.floor(Date.now() / 60_000)];
    if (inputs.every((value, index) => value === this.shownInputs[index])) return;
    this.shownInputs = inputs;
    const menuKey = JSON.stringify(conversation && [conversation.id, conversation.title, conversation.pinned, conversation.archived, conversation.trashed]);
    if (menuKey !== this.menuKey) this.menu.replaceChildren(...(conversation ? [conversationMenu(conversation)] : []));
    this.menuKey = menuKey;
    const notice = this.noticeOf(state);
    const noticeHtml = notice.map((element) => element.outerHTML).join("");
    // An unchanged notice is not replaced, so that its button keeps the focus.
    if (noticeHtml !== this.noticeHtml) this.notice.replaceChildren(...notice);
    this.noticeHtml = noticeHtml;
    this.notice.hidden = notice.length === 0;
  }

  /**
   * Return the notice about retention, the archive or the trash, as chat/_retention_notice.html shows it.
   * @param {State} state
   * @returns {HTMLElement[]}
   */
  noticeOf({ conversation, leaving }) {
    const day = (/** @type {string} */ at) => dayAndMonth(at, this.page.zone);
    if (!conversation && leaving) {
      const one = leaving === 1;
      return [h("span", {}, `${leaving} chat${one ? "" : "s"} will move to the trash within a week`), h("a", { href: url("/trash/") }, `View ${one ? "it" : "them"}`)];
    }
    if (conversation?.trashed) {
      const until = conversation.purge_on ? ` until ${day(conversation.purge_on)}` : "";
      return [h("span", {}, `In the trash${until}`), actionButton(conversation, "restore", "banner__button", "Restore")];
    }
    if (conversation?.trash_on) {
      const when = Date.parse(conversation.trash_on) <= Date.now() ? "soon" : `on ${day(conversation.trash_on)}`;
      return [h("span", {}, `This chat moves to the trash ${when}`), actionButton(conversation, "keep", "banner__button", "Keep this chat")];
    }
    if (conversation?.archived) return [h("span", {}, "In the archive"), actionButton(conversation, "unarchive", "banner__button", "Unarchive")];
    return [];
  }
}
