// @ts-check
/** The versions of a turn: links from one to the next, and what becomes of a conversation that goes another way. */

import { h, icon } from "./dom.js";
import { url } from "./site.js";

/**
 * Find the neighbours of a turn among its versions.
 * @param {string[]} versions  oldest first
 * @param {string} id
 * @param {string} conversationId
 * @returns {{number: number, total: number, earlier: string | null, later: string | null}}
 */
export function neighbours(versions, id, conversationId) {
  const index = versions.indexOf(id);
  const last = versions.length - 1;
  const address = (/** @type {number} */ at) =>
    url(`/c/${conversationId}/${at === last ? "" : `versions/${versions[at]}/`}#turn-${versions[at]}`);
  return {
    number: index + 1,
    total: versions.length,
    earlier: index > 0 ? address(index - 1) : null,
    later: index < last ? address(index + 1) : null,
  };
}

/**
 * Make the small control that leads from version to version.
 * @param {string[]} versions
 * @param {string} id
 * @param {string} conversationId
 */
export function versionLinks(versions, id, conversationId) {
  const { number, total, earlier, later } = neighbours(versions, id, conversationId);
  return h("nav", { class: "versions", "aria-label": "Versions", "data-testid": "versions" },
    step(earlier, "Earlier version", "back"),
    h("span", { class: "versions__count" }, `${number} of ${total}`),
    step(later, "Later version", "chevron"));
}

/**
 * @param {string | null} href
 * @param {string} label
 * @param {string} sign
 */
function step(href, label, sign) {
  if (href === null) return h("span", { class: "versions__step", "aria-hidden": true }, icon(sign));
  return h("a", { class: "versions__step", href, "aria-label": label, title: label }, icon(sign));
}

/**
 * Say what becomes an earlier version when a message, or a reply, is replaced.
 * @param {number} after  how many messages follow it
 */
export function becomesEarlier(after) {
  if (after === 0) return "This becomes an earlier version.";
  return `This and the ${after === 1 ? "message" : `${after} messages`} after it become an earlier version.`;
}

/**
 * Say what going another way from a turn on means.
 * @param {{last: boolean, changed: boolean}} where  whether it is the last turn; whether something was changed from there on
 * @param {number} after  how many messages follow what is replaced
 */
export function consequences({ last, changed }, after) {
  const said = [];
  if (!last) said.push(becomesEarlier(after));
  if (changed) said.push("What the assistant has done since stays done.");
  return said.join(" ");
}

/** The button that has a reply written anew; in the middle of a conversation it asks first. */
export class Regenerate {
  /** @param {() => void} regenerate */
  constructor(regenerate) {
    this.regenerate = regenerate;
    this.button = h("button", {
      type: "button", class: "icon-button message__again", "data-testid": "regenerate", "aria-label": "Regenerate",
      title: "Regenerate: answer again", onclick: () => this.pressed(),
    }, icon("retry"));
    this.text = h("p", { class: "confirm__text" });
    this.yes = h("button", { type: "button", class: "button button--small button--primary", onclick: () => this.confirmed() }, "Regenerate");
    this.question = h("div", { class: "confirm", role: "group", "aria-label": "Regenerate this reply?", "data-testid": "confirm" },
      this.text,
      h("div", { class: "confirm__buttons" },
        this.yes,
        h("button", { type: "button", class: "button button--small", onclick: () => this.close(true) }, "Cancel")));
    this.question.addEventListener("keydown", (event) => event.key === "Escape" && this.close(true));
    this.question.hidden = true;
    this.asks = false;
  }

  /**
   * @param {boolean} possible
   * @param {string} asked    what has to be said first; empty where nothing has
   */
  show(possible, asked) {
    this.button.hidden = !possible;
    this.asks = asked !== "";
    this.text.textContent = asked;
    if (!possible || !this.asks) this.close(false);
    if (this.asks) this.button.setAttribute("aria-expanded", String(!this.question.hidden));
    else this.button.removeAttribute("aria-expanded");
  }

  pressed() {
    if (!this.asks) return this.regenerate();
    if (!this.question.hidden) return this.close(true);
    this.question.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.yes.focus();
  }

  confirmed() {
    this.close(false);
    this.regenerate();
  }

  /** @param {boolean} byPerson  the focus goes back to the button */
  close(byPerson) {
    if (this.question.hidden) return;
    this.question.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    if (byPerson) this.button.focus();
  }
}
