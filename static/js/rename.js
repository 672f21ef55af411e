// @ts-check
/** Rename a chat in place: in the list, or in the top bar. */

import { h } from "./dom.js";
import { toast } from "./toast.js";

const MAX_LENGTH = 100;

/**
 * Replace the title with an input.
 * @param {Element} container  of the title
 * @param {() => string} getTitle  returns the current title
 * @param {(title: string) => Promise<void>} save
 */
export function renameInline(container, getTitle, save) {
  container.querySelector(".rename")?.remove();
  let original = getTitle();
  const field = /** @type {HTMLInputElement} */ (h("input", { class: "rename__field", maxlength: MAX_LENGTH, value: original, "aria-label": "Title" }));
  const conflict = h("div", { class: "rename__conflict", role: "alert" });
  const form = h("form", { class: "rename" }, field, conflict);
  let isClosed = false;
  /** @param {boolean} saves */
  const close = (saves) => {
    const text = field.value.trim();
    const isChanged = saves && text !== "" && text !== original;
    if (isClosed) return;
    if (isChanged && form.isConnected && getTitle() !== original && getTitle() !== text) return showConflict();
    isClosed = true;
    const hadFocus = form.contains(document.activeElement);
    const wasRemoved = !form.isConnected;
    form.remove();
    if (hadFocus) focusTarget(container)?.focus();
    if (!isChanged) return;
    if (wasRemoved) toast.show(`Not renamed to “${text}”: the chat is not in the list any more.`);
    else void save(text);
  };
  // The chat was renamed elsewhere meanwhile.
  const showConflict = () => {
    original = getTitle();
    const button = (/** @type {string} */ label, /** @type {boolean} */ saves) =>
      h("button", { type: "button", class: "button button--small", onclick: () => close(saves) }, label);
    conflict.replaceChildren(h("p", {}, `Renamed elsewhere to “${original}”.`), button("Keep mine", true), button("Use the other", false));
    field.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    close(true);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close(false);
  });
  // Wait, because an item that moves in the list loses the focus and gets it back at once.
  form.addEventListener("focusout", () => setTimeout(() => form.contains(document.activeElement) || close(true)));
  container.append(form);
  field.select();
}

/**
 * Return the element to focus after renaming.
 * @param {Element} container
 * @returns {HTMLElement | null}
 */
const focusTarget = (container) => container.querySelector(".conversation") ?? document.querySelector("#bar-menu summary");
