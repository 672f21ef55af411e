// @ts-check
/** A chat is renamed where its title stands: in the list, or above the conversation. */

import { h } from "./dom.js";
import { toast } from "./toast.js";

const LENGTH = 100;

/**
 * Show a field in the place of the title.
 * @param {Element} place   holds the title
 * @param {() => string} title   as it is by now
 * @param {(title: string) => Promise<void>} save
 */
export function rename(place, title, save) {
  place.querySelector(".rename")?.remove();
  let before = title();
  const field = /** @type {HTMLInputElement} */ (h("input", { class: "rename__field", maxlength: LENGTH, value: before, "aria-label": "Title" }));
  const meanwhile = h("div", { class: "rename__meanwhile", role: "alert" });
  const form = h("form", { class: "rename" }, field, meanwhile);
  let ended = false;
  /** @param {boolean} changes */
  const end = (changes) => {
    const text = field.value.trim();
    const differs = changes && text !== "" && text !== before;
    if (ended) return;
    if (differs && form.isConnected && title() !== before && title() !== text) return ask();
    ended = true;
    const hadFocus = form.contains(document.activeElement);
    const gone = !form.isConnected;
    form.remove();
    if (hadFocus) opener(place)?.focus();
    if (!differs) return;
    if (gone) toast.say(`Not renamed to “${text}”: the chat is not in the list any more.`);
    else void save(text);
  };
  // It was renamed elsewhere, too: the person chooses.
  const ask = () => {
    before = title();
    const button = (/** @type {string} */ label, /** @type {boolean} */ changes) =>
      h("button", { type: "button", class: "button button--small", onclick: () => end(changes) }, label);
    meanwhile.replaceChildren(h("p", {}, `Renamed elsewhere to “${before}”.`), button("Keep mine", true), button("Use the other", false));
    field.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    end(true);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    end(false);
  });
  // A row that moves loses the focus, and gets it back at once.
  form.addEventListener("focusout", () => setTimeout(() => form.contains(document.activeElement) || end(true)));
  place.append(form);
  field.select();
}

/**
 * Find where the focus goes back to.
 * @param {Element} place
 * @returns {HTMLElement | null}
 */
const opener = (place) => place.querySelector(".conversation") ?? document.querySelector("#bar-menu summary");
