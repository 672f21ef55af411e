// @ts-check
/** A chat is renamed where its title stands: in the list, or above the conversation. */

import { h } from "./dom.js";

const LENGTH = 100;

/**
 * Show a field in the place of the title.
 * @param {Element} place   holds the title
 * @param {string} title
 * @param {(title: string) => Promise<void>} save
 */
export function rename(place, title, save) {
  place.querySelector(".rename")?.remove();
  const field = /** @type {HTMLInputElement} */ (h("input", { class: "rename__field", maxlength: LENGTH, value: title, "aria-label": "Title" }));
  const form = h("form", { class: "rename" }, field);
  let ended = false;
  /** @param {boolean} changes */
  const end = (changes) => {
    // What goes away loses the focus, which ends it as well.
    if (ended) return;
    ended = true;
    const text = field.value.trim();
    form.remove();
    if (changes && text !== "" && text !== title) void save(text);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    end(true);
    opener(place)?.focus();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    end(false);
    opener(place)?.focus();
  });
  field.addEventListener("blur", () => end(true));
  place.append(form);
  field.select();
}

/**
 * Find where the focus goes back to.
 * @param {Element} place
 * @returns {HTMLElement | null}
 */
const opener = (place) => place.querySelector(".conversation") ?? document.querySelector("#bar-menu summary");
