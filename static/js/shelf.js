// @ts-check
/** Putting chats away and bringing them back without leaving the page. */

import { byId, h } from "./dom.js";
import { closeMenus, menu, putter, setUpMenus } from "./menu.js";
import { url } from "./site.js";
import { onDay } from "./time.js";
import { toast } from "./toast.js";

/** @typedef {import("./state.js").Conversation} Conversation */
/** @typedef {import("./state.js").State} State */

const NO_CONNECTION = "That was not done: there is no connection.";

export class Shelf {
  /** @param {{changed: (line: Conversation) => void, signedOut: () => void, zone: string}} page */
  constructor(page) {
    this.page = page;
    this.bar = byId("bar-menu");
    this.strip = byId("shelf-strip");
    /** @type {State | null} */
    this.state = null;
    /** @type {unknown[]} */
    this.shown = [];
    this.drawnBar = "";
    this.drawnStrip = "";
    setUpMenus();
    document.addEventListener("click", (event) => {
      const link = /** @type {Element} */ (event.target).closest?.("[data-renames]");
      if (!(link instanceof HTMLAnchorElement)) return;
      event.preventDefault();
      void this.rename(link);
    });
    byId("shelf").addEventListener("submit", (event) => {
      event.preventDefault();
      const button = /** @type {HTMLButtonElement} */ (/** @type {SubmitEvent} */ (event).submitter);
      void this.put(button.formAction, button.value);
    });
  }

  /** @param {HTMLAnchorElement} link   leads to a form that renames a chat */
  async rename(link) {
    const { renames, title = "" } = link.dataset;
    const line = () => [this.state?.conversation, ...(this.state?.conversations ?? [])].find((each) => each?.id === renames);
    const place = link.closest(".lined") ?? byId("bar-middle");
    closeMenus(null);
    try {
      const { rename } = await import("./rename.js");
      rename(place, () => line()?.title ?? title, (changed) => this.put(url(`/c/${renames}/shelf/`), "rename", changed));
    } catch {
      location.assign(link.href);
    }
  }

  /**
   * @param {string} path
   * @param {string} verb
   * @param {string} [title]
   */
  async put(path, verb, title) {
    const focused = document.activeElement;
    closeMenus(null);
    const token = /** @type {HTMLInputElement} */ (document.querySelector("#shelf [name=csrfmiddlewaretoken]")).value;
    const body = new URLSearchParams({ csrfmiddlewaretoken: token, do: verb, ...(title && { title }) });
    try {
      const answer = await fetch(path, { method: "POST", body, headers: { accept: "application/json" } });
      if (answer.redirected) return this.page.signedOut();
      const data = await answer.json();
      if (!answer.ok) return toast.say(data.error.detail);
      this.page.changed(data.conversation);
      // Who chose by keyboard goes on from there, also where the line is gone.
      const focus = title === undefined && focused !== null && focused !== document.body;
      toast.say(data.said, { undo: data.undo && putter(data.conversation, data.undo, "toast__undo", "Undo"), focus });
    } catch {
      toast.say(NO_CONNECTION);
    }
  }

  /** @param {State} state */
  show(state) {
    this.state = state;
    const line = state.conversation;
    const shown = [line, state.leaving, Math.floor(Date.now() / 60_000)];
    if (shown.every((value, index) => value === this.shown[index])) return;
    this.shown = shown;
    const bar = JSON.stringify(line && [line.id, line.title, line.pinned, line.archived, line.trashed]);
    if (bar !== this.drawnBar) this.bar.replaceChildren(...(line ? [menu(line)] : []));
    this.drawnBar = bar;
    const parts = this.where(state);
    const strip = parts.map((part) => (typeof part === "string" ? part : part.outerHTML)).join("");
    if (strip !== this.drawnStrip) this.strip.replaceChildren(...parts);
    this.drawnStrip = strip;
    this.strip.hidden = parts.length === 0;
  }

  /**
   * Say where the chat lies or goes to, where that is not among the others.
   * @param {State} state
   * @returns {HTMLElement[]}
   */
  where({ conversation: line, leaving }) {
    const day = (/** @type {string} */ at) => onDay(at, this.page.zone);
    if (!line && leaving) {
      const one = leaving === 1;
      return [h("span", {}, `${leaving} chat${one ? "" : "s"} will move to the trash within a week`), h("a", { href: url("/trash/") }, `View ${one ? "it" : "them"}`)];
    }
    if (line?.trashed) {
      return [h("span", {}, `In the trash${line.purge_on ? ` until ${day(line.purge_on)}` : ""}`), putter(line, "restore", "strip__button", "Restore")];
    }
    if (line?.trash_on) {
      const when = Date.parse(line.trash_on) <= Date.now() ? "soon" : `on ${day(line.trash_on)}`;
      return [h("span", {}, `This chat moves to the trash ${when}`), putter(line, "keep", "strip__button", "Keep this chat")];
    }
    if (line?.archived) return [h("span", {}, "In the archive"), putter(line, "unarchive", "strip__button", "Unarchive")];
    return [];
  }
}
