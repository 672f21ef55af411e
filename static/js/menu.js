// @ts-check
/** The menu of a chat. Its buttons submit the form #action-form. */

import { h, icon } from "./dom.js";
import { url } from "./site.js";

/** @typedef {import("./state.js").Conversation} Conversation */

/**
 * Create the menu of a chat.
 * @param {Conversation} conversation
 */
export function conversationMenu(conversation) {
  const label = `Options for “${conversation.title || "New chat"}”`;
  return h("details", { class: "menu" },
    h("summary", { class: "icon-button menu__toggle", "aria-label": label, title: "Options" }, icon("dots")),
    h("div", { class: "menu__list" }, ...menuItems(conversation)));
}

/** @param {Conversation} conversation */
function menuItems(conversation) {
  const { id, title, pinned, archived, trashed } = conversation;
  const button = (/** @type {string} */ action, /** @type {string} */ label, /** @type {string} */ iconName) =>
    actionButton(conversation, action, "menu__item", icon(iconName), label);
  if (trashed) return [button("restore", "Restore", "undo")];
  return [
    pinned ? button("unpin", "Unpin", "pin") : button("pin", "Pin", "pin"),
    h("a", { class: "menu__item", href: url(`/c/${id}/rename/`), "data-rename": id, "data-title": title }, icon("pencil"), "Rename"),
    exportLink(id, "markdown", "Export as Markdown"),
    exportLink(id, "json", "Export as JSON"),
    archived ? button("unarchive", "Unarchive", "archive") : button("archive", "Archive", "archive"),
    button("trash", "Move to trash", "trash"),
  ];
}

/**
 * @param {string} id
 * @param {string} format
 * @param {string} label
 */
function exportLink(id, format, label) {
  return h("a", { class: "menu__item", href: url(`/api/chatkit/threads/${id}/export?format=${format}`), download: true }, icon("down"), label);
}

/**
 * Create a button that applies an action, such as `archive`, to a chat.
 * @param {Conversation} conversation
 * @param {string} action
 * @param {string} className
 * @param {...(Node | string)} label
 */
export function actionButton(conversation, action, className, ...label) {
  return h("button", { class: className, form: "action-form", formaction: url(`/c/${conversation.id}/shelf/`), name: "do", value: action }, ...label);
}

/** Keep at most one menu open. Escape and a click outside close it, the arrow keys move through it. */
export function setUpMenus() {
  document.addEventListener("toggle", (event) => {
    const menu = /** @type {HTMLElement} */ (event.target);
    if (!menu.matches(".menu[open]")) return;
    closeMenus(menu);
    menu.lastElementChild?.scrollIntoView({ block: "nearest" });
  }, true);
  document.addEventListener("click", ({ target }) => {
    const menu = /** @type {Element} */ (target).closest(".menu");
    // A download does not leave the page, so the menu has to be closed.
    const isDownload = /** @type {Element} */ (target).closest(".menu [download]") !== null;
    closeMenus(isDownload ? null : menu);
    if (isDownload) /** @type {HTMLElement} */ (menu?.firstElementChild).focus();
  });
  document.addEventListener("focusin", (event) => closeMenus(/** @type {Element} */ (event.target).closest(".menu")));
  // In the capture phase, so that Escape does not also close the drawer that contains the menu.
  document.addEventListener("keydown", (event) => {
    const menu = /** @type {Element} */ (event.target).closest?.(".menu[open]");
    if (!menu) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      closeMenus(null);
      /** @type {HTMLElement} */ (menu.firstElementChild).focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      moveFocus(menu, event.key === "ArrowDown" ? 1 : -1);
    }
  }, true);
}

/**
 * @param {Element} menu
 * @param {number} step
 */
function moveFocus(menu, step) {
  const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("button, a")]);
  const index = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = index < 0 && step < 0 ? items.length - 1 : (index + step + items.length) % items.length;
  items[next]?.focus();
}

/** @param {Element | null} except  stays open */
export function closeMenus(except) {
  for (const menu of document.querySelectorAll(".menu[open]")) if (menu !== except) menu.removeAttribute("open");
}
