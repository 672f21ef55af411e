// @ts-check
/** The versions of a turn: links to its neighbours, and notices about what an edit or a new reply replaces. */

import { h, icon } from "./dom.js";
import { url } from "./site.js";

/**
 * Return the links to the previous and the next version of a turn.
 * @param {string[]} versions  oldest first
 * @param {string} id
 * @param {string} conversationId
 * @returns {{number: number, total: number, earlier: string | null, later: string | null}}
 */
export function neighbours(versions, id, conversationId) {
  const index = versions.indexOf(id);
  const last = versions.length - 1;
  const urlOf = (/** @type {number} */ at) =>
    url(`/c/${conversationId}/${at === last ? "" : `versions/${versions[at]}/`}#turn-${versions[at]}`);
  return {
    number: index + 1,
    total: versions.length,
    earlier: index > 0 ? urlOf(index - 1) : null,
    later: index < last ? urlOf(index + 1) : null,
  };
}

/**
 * Return a control that links to the previous and the next version.
 * @param {string[]} versions
 * @param {string} id
 * @param {string} conversationId
 */
export function versionLinks(versions, id, conversationId) {
  const { number, total, earlier, later } = neighbours(versions, id, conversationId);
  return h("nav", { class: "versions", "aria-label": "Versions", "data-testid": "versions" },
    versionLink(earlier, "Earlier version", "back"),
    h("span", { class: "versions__count" }, `${number} of ${total}`),
    versionLink(later, "Later version", "chevron"));
}

/**
 * @param {string | null} href
 * @param {string} label
 * @param {string} iconName
 */
function versionLink(href, label, iconName) {
  if (href === null) return h("span", { class: "versions__link", "aria-hidden": true }, icon(iconName));
  return h("a", { class: "versions__link", href, "aria-label": label, title: label }, icon(iconName));
}

/**
 * Return a notice about what becomes an earlier version when a message or a reply is replaced.
 * @param {number} after  the number of messages after it
 */
export function earlierVersionNotice(after) {
  if (after === 0) return "This becomes an earlier version.";
  return `This and the ${after === 1 ? "message" : `${after} messages`} after it become an earlier version.`;
}

/**
 * Return a notice about the consequences of replacing a turn and those after it.
 * @param {{isLast: boolean, hadEffect: boolean}} turn  whether it is the last one; whether it, or a turn after it, changed something
 * @param {number} after  the number of messages after the replaced one
 */
export function consequences({ isLast, hadEffect }, after) {
  const notices = [];
  if (!isLast) notices.push(earlierVersionNotice(after));
  if (hadEffect) notices.push("What the assistant has done since stays done.");
  return notices.join(" ");
}

/** The button that regenerates a reply, with a confirmation if that has consequences. */
export class RegenerateButton {
  /** @param {() => void} regenerate */
  constructor(regenerate) {
    this.regenerate = regenerate;
    this.button = h("button", {
      type: "button", class: "icon-button message__regenerate", "data-testid": "regenerate", "aria-label": "Regenerate",
      title: "Regenerate: answer again", onclick: () => this.onClick(),
    }, icon("retry"));
    this.text = h("p", { class: "confirm__text" });
    this.confirmButton = h("button", { type: "button", class: "button button--small button--primary", onclick: () => this.confirm() }, "Regenerate");
    this.confirmation = h("div", { class: "confirm", role: "group", "aria-label": "Regenerate this reply?", "data-testid": "confirm" },
      this.text,
      h("div", { class: "confirm__buttons" },
        this.confirmButton,
        h("button", { type: "button", class: "button button--small", onclick: () => this.close(true) }, "Cancel")));
    this.confirmation.addEventListener("keydown", (event) => event.key === "Escape" && this.close(true));
    this.confirmation.hidden = true;
    this.needsConfirmation = false;
  }

  /**
   * @param {boolean} available
   * @param {string} notice   empty if no confirmation is needed
   */
  show(available, notice) {
    this.button.hidden = !available;
    this.needsConfirmation = notice !== "";
    this.text.textContent = notice;
    if (!available || !this.needsConfirmation) this.close(false);
    if (this.needsConfirmation) this.button.setAttribute("aria-expanded", String(!this.confirmation.hidden));
    else this.button.removeAttribute("aria-expanded");
  }

  onClick() {
    if (!this.needsConfirmation) return this.regenerate();
    if (!this.confirmation.hidden) return this.close(true);
    this.confirmation.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.confirmButton.focus();
  }

  confirm() {
    this.close(false);
    this.regenerate();
  }

  /** @param {boolean} returnFocus */
  close(returnFocus) {
    if (this.confirmation.hidden) return;
    this.confirmation.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    if (returnFocus) this.button.focus();
  }
}
