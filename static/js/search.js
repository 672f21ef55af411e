// @ts-check
/** Search in all chats: what is found takes the place of the list while there is something to search for. */

import { byId, h } from "./dom.js";
import { More } from "./more.js";
import { url } from "./site.js";
import { ago } from "./time.js";

const WAIT = 250; // ms after the last key
const PAGE = 20;
const NO_CONNECTION = "There is no connection.";

/**
 * @typedef {[number, number]} Mark
 * @typedef {{thread_id: string, title: string, updated_at: string, archived: boolean, message_id: string | null,
 *   snippet: string | null, title_marks: Mark[], snippet_marks: Mark[]}} Match
 */

/**
 * Split a text where matches begin and end, which are counted in code points.
 * @param {string} text
 * @param {Mark[]} marks
 * @returns {{text: string, marked: boolean}[]}
 */
export function pieces(text, marks) {
  const characters = Array.from(text);
  const found = [];
  let at = 0;
  for (const [start, end] of marks) {
    found.push({ text: characters.slice(at, start).join(""), marked: false }, { text: characters.slice(start, end).join(""), marked: true });
    at = end;
  }
  found.push({ text: characters.slice(at).join(""), marked: false });
  return found.filter((piece) => piece.text !== "");
}

export class Search {
  /** @param {string} zone */
  constructor(zone) {
    this.zone = zone;
    this.field = /** @type {HTMLInputElement} */ (byId("search-field"));
    this.results = byId("results");
    this.words = "";
    /** @type {string | null} */
    this.after = null;
    this.timer = 0;
    this.asking = new AbortController();
    this.more = new More(byId("more-results"), () => this.load());
    this.field.addEventListener("input", () => this.changed(WAIT));
    this.field.addEventListener("keydown", (event) => this.key(event));
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.changed(0);
    });
    // What the browser put back by itself.
    if (this.field.value) this.changed(0);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key !== "Escape" || this.field.value === "") return;
    // It empties the field and does not close the drawer as well.
    event.stopPropagation();
    this.field.value = "";
    this.changed(0);
  }

  /** @param {number} wait */
  changed(wait) {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.begin(), wait);
  }

  async begin() {
    this.asking.abort();
    this.words = this.field.value.trim();
    this.after = null;
    byId("found").hidden = this.words === "";
    byId("chats").hidden = this.words !== "";
    if (this.words === "") return this.show([], "");
    await this.load();
  }

  /** Ask for the first matches or the next ones; tell whether some came. */
  async load() {
    const asking = (this.asking = new AbortController());
    const query = new URLSearchParams({ q: this.words, limit: String(PAGE), ...(this.after && { after: this.after }) });
    try {
      const answer = await fetch(url(`/api/search?${query}`), { signal: asking.signal });
      const data = await answer.json();
      if (asking.signal.aborted) return false;
      if (!answer.ok) this.show([], data.error.detail);
      else this.add(data);
      return answer.ok;
    } catch {
      if (!asking.signal.aborted) this.show([], NO_CONNECTION);
      return false;
    }
  }

  /** @param {{items: Match[], has_more: boolean, after: string | null}} data */
  add({ items, after }) {
    const shown = this.after === null ? [] : [...this.results.children];
    this.after = after;
    const lines = [...shown, ...items.map((match) => this.line(match))];
    this.show(lines, lines.length ? "" : "No chats found.");
  }

  /**
   * @param {Element[]} lines
   * @param {string} instead  what is said where there are none
   */
  show(lines, instead) {
    this.results.replaceChildren(...lines);
    byId("found-nothing").textContent = instead;
    byId("found-nothing").hidden = instead === "";
    const count = `${lines.length}${this.after ? " or more" : ""} chat${lines.length === 1 ? "" : "s"} found`;
    byId("search-status").textContent = instead || (this.words && count);
    this.more.show(this.after !== null && lines.length > 0);
  }

  /** @param {Match} match */
  line({ thread_id, title, updated_at, archived, message_id, snippet, title_marks, snippet_marks }) {
    const when = ago(updated_at, new Date(), this.zone);
    return h("li", {},
      h("a", { class: "result", "data-testid": "search-result", href: url(`/c/${thread_id}/${message_id ? `?message=${message_id}` : ""}`) },
        h("span", { class: "result__title" }, ...marked(title || "New chat", title_marks)),
        h("span", { class: "result__when" }, archived ? `Archived, ${when}` : when),
        snippet && h("span", { class: "result__text" }, ...marked(snippet, snippet_marks))));
  }
}

/**
 * @param {string} text
 * @param {Mark[]} marks
 */
function marked(text, marks) {
  return pieces(text, marks).map((piece) => (piece.marked ? h("mark", {}, piece.text) : document.createTextNode(piece.text)));
}
