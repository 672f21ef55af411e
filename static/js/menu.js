// @ts-check
/** What can be done with a chat: a menu at its line, and where it lies. The buttons belong to the form #shelf. */

import { h, icon } from "./dom.js";
import { url } from "./site.js";

/** @typedef {import("./state.js").Conversation} Conversation */

/**
 * Make the menu of a chat.
 * @param {Conversation} line
 */
export function menu(line) {
  return h("details", { class: "menu", "data-menu": line.id },
    h("summary", { class: "icon-button menu__open", "aria-label": `Options for “${line.title || "New chat"}”`, title: "Options" }, icon("dots")),
    h("div", { class: "menu__list" }, ...choices(line)));
}

/** @param {Conversation} line */
function choices(line) {
  const put = (/** @type {string} */ verb, /** @type {string} */ label, /** @type {string} */ name) =>
    putter(line, verb, "menu__item", icon(name), label);
  if (line.trashed) return [put("restore", "Restore", "undo")];
  return [
    line.pinned ? put("unpin", "Unpin", "pin") : put("pin", "Pin", "pin"),
    h("a", { class: "menu__item", href: url(`/c/${line.id}/rename/`), "data-renames": line.id, "data-title": line.title }, icon("pencil"), "Rename"),
    exported(line, "markdown", "Export as Markdown"),
    exported(line, "json", "Export as JSON"),
    line.archived ? put("unarchive", "Unarchive", "archive") : put("archive", "Archive", "archive"),
    put("trash", "Move to trash", "trash"),
  ];
}

/**
 * @param {Conversation} line
 * @param {string} format
 * @param {string} label
 */
function exported(line, format, label) {
  return h("a", { class: "menu__item", href: url(`/api/chatkit/threads/${line.id}/export?format=${format}`), download: true }, icon("down"), label);
}

/**
 * Make a button that puts a chat somewhere.
 * @param {Conversation} line
 * @param {string} verb
 * @param {string} look
 * @param {...(Node | string)} label
 */
export function putter(line, verb, look, ...label) {
  return h("button", { class: look, form: "shelf", formaction: url(`/c/${line.id}/shelf/`), name: "do", value: verb }, ...label);
}

/** One menu is open at a time; Escape and a click elsewhere close it, arrows go through it. */
export function setUpMenus() {
  document.addEventListener("toggle", (event) => {
    const opened = /** @type {HTMLElement} */ (event.target);
    if (!opened.matches(".menu[open]")) return;
    closeMenus(opened);
    opened.lastElementChild?.scrollIntoView({ block: "nearest" });
  }, true);
  document.addEventListener("click", ({ target }) => {
    const menu = /** @type {Element} */ (target).closest(".menu");
    // A download leaves the page as it is.
    const isDone = /** @type {Element} */ (target).closest(".menu [download]") !== null;
    closeMenus(isDone ? null : menu);
    if (isDone) /** @type {HTMLElement} */ (menu?.firstElementChild).focus();
  });
  document.addEventListener("focusin", (event) => closeMenus(/** @type {Element} */ (event.target).closest(".menu")));
  // Before the drawers hear of it: Escape closes the menu, not what it is in.
  document.addEventListener("keydown", (event) => {
    const open = /** @type {Element} */ (event.target).closest?.(".menu[open]");
    if (!open) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      closeMenus(null);
      /** @type {HTMLElement} */ (open.firstElementChild).focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      go(open, event.key === "ArrowDown" ? 1 : -1);
    }
  }, true);
}

/**
 * @param {Element} open
 * @param {number} step
 */
function go(open, step) {
  const buttons = /** @type {HTMLElement[]} */ ([...open.querySelectorAll("button, a")]);
  const at = buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = at < 0 && step < 0 ? buttons.length - 1 : (at + step + buttons.length) % buttons.length;
  buttons[next]?.focus();
}

/** @param {Element | null} but  stays open */
export function closeMenus(but) {
  for (const open of document.querySelectorAll(".menu[open]")) if (open !== but) open.removeAttribute("open");
}
