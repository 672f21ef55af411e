// @ts-check
/** Search in all chats. The results replace the list of chats while the search field has text. */

import { byId, h } from "./dom.js";
import { LoadMore } from "./loadmore.js";
import { url } from "./site.js";
import { relativeTime } from "./time.js";

const DEBOUNCE = 250; // ms
const PAGE_SIZE = 20;
const NO_CONNECTION = "There is no connection.";

/**
 * @typedef {[number, number]} Mark  the start and the end of a match, in code points
 * @typedef {{thread_id: string, title: string, updated_at: string, archived: boolean, message_id: string | null,
 *   snippet: string | null, title_marks: Mark[], snippet_marks: Mark[]}} Match
 */

/**
 * Split a text at the start and the end of each match.
 * @param {string} text
 * @param {Mark[]} marks
 * @returns {{text: string, marked: boolean}[]}
 */
export function splitAtMarks(text, marks) {
  const characters = Array.from(text);
  const pieces = [];
  let position = 0;
  for (const [start, end] of marks) {
    pieces.push({ text: characters.slice(position, start).join(""), marked: false }, { text: characters.slice(start, end).join(""), marked: true });
    position = end;
  }
  pieces.push({ text: characters.slice(position).join(""), marked: false });
  return pieces.filter((piece) => piece.text !== "");
}

export class Search {
  /** @param {string} zone */
  constructor(zone) {
    this.zone = zone;
    this.field = /** @type {HTMLInputElement} */ (byId("search-field"));
    this.results = byId("results");
    this.query = "";
    /** @type {string | null} */
    this.after = null;
    this.timer = 0;
    this.request = new AbortController();
    this.more = new LoadMore(byId("more-results"), () => this.load());
    this.field.addEventListener("input", () => this.schedule(DEBOUNCE));
    this.field.addEventListener("keydown", (event) => this.clearOnEscape(event));
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.schedule(0);
    });
    // The browser may have restored the text.
    if (this.field.value) this.schedule(0);
  }

  /** @param {KeyboardEvent} event */
  clearOnEscape(event) {
    if (event.key !== "Escape" || this.field.value === "") return;
    // The drawer stays open.
    event.stopPropagation();
    this.field.value = "";
    this.schedule(0);
  }

  /** @param {number} delay */
  schedule(delay) {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.start(), delay);
  }

  async start() {
    this.request.abort();
    this.query = this.field.value.trim();
    this.after = null;
    byId("search-results").hidden = this.query === "";
    byId("chats").hidden = this.query !== "";
    if (this.query === "") return this.show([], "");
    await this.load();
  }

  /** Request the next page of results; return whether the request succeeded. */
  async load() {
    const request = (this.request = new AbortController());
    const params = new URLSearchParams({ q: this.query, limit: String(PAGE_SIZE), ...(this.after && { after: this.after }) });
    try {
      const response = await fetch(url(`/api/search?${params}`), { signal: request.signal });
      const data = await response.json();
      if (request.signal.aborted) return false;
      if (!response.ok) this.show([], data.error.detail);
      else this.add(data);
      return response.ok;
    } catch {
      if (!request.signal.aborted) this.show([], NO_CONNECTION);
      return false;
    }
  }

  /** @param {{items: Match[], has_more: boolean, after: string | null}} data */
  add({ items, after }) {
    const shown = this.after === null ? [] : [...this.results.children];
    this.after = after;
    const elements = [...shown, ...items.map((match) => this.resultOf(match))];
    this.show(elements, elements.length ? "" : "No chats found.");
  }

  /**
   * @param {Element[]} elements
   * @param {string} message  an error, or that there are no results
   */
  show(elements, message) {
    this.results.replaceChildren(...elements);
    byId("search-message").textContent = message;
    byId("search-message").hidden = message === "";
    const count = `${elements.length}${this.after ? " or more" : ""} chat${elements.length === 1 ? "" : "s"} found`;
    byId("search-status").textContent = message || (this.query && count);
    this.more.show(this.after !== null && elements.length > 0);
  }

  /** @param {Match} match */
  resultOf({ thread_id, title, updated_at, archived, message_id, snippet, title_marks, snippet_marks }) {
    const when = relativeTime(updated_at, new Date(), this.zone);
    return h("li", {},
      h("a", { class: "result", "data-testid": "search-result", href: url(`/c/${thread_id}/${message_id ? `?message=${message_id}` : ""}`) },
        h("span", { class: "result__title" }, ...highlight(title || "New chat", title_marks)),
        h("span", { class: "result__when" }, archived ? `Archived, ${when}` : when),
        snippet && h("span", { class: "result__text" }, ...highlight(snippet, snippet_marks))));
  }
}

/**
 * @param {string} text
 * @param {Mark[]} marks
 */
function highlight(text, marks) {
  return splitAtMarks(text, marks).map((piece) => (piece.marked ? h("mark", {}, piece.text) : document.createTextNode(piece.text)));
}
