// @ts-check
/** The two sides as drawers, where the window is too narrow for them to stand beside the chat. */

import { byId } from "./dom.js";

const WIDTHS = /** @type {Record<string, string>} */ ({ conversations: "(max-width: 50rem)", tasks: "(max-width: 72rem)" });

/** Make drawers of the sides, as the window allows. */
export function setUpDrawers() {
  for (const [id, width] of Object.entries(WIDTHS)) {
    const query = matchMedia(width);
    const side = byId(id);
    const fit = () => {
      side.toggleAttribute("data-floating", query.matches);
      close(side, false);
    };
    query.addEventListener("change", fit);
    fit();
    for (const button of document.querySelectorAll(`[data-opens="${id}"]`)) button.addEventListener("click", () => open(side));
    side.querySelector("[data-closes]")?.addEventListener("click", () => close(side, true));
  }
  byId("backdrop").addEventListener("click", closeAll);
  document.addEventListener("keydown", (event) => event.key === "Escape" && closeAll());
}

/** Close whichever drawer is open. */
export function closeAll() {
  for (const id of Object.keys(WIDTHS)) {
    if (byId(id).hasAttribute("data-open")) close(byId(id), true);
  }
}

/** @param {HTMLElement} side */
function open(side) {
  side.inert = false;
  side.setAttribute("data-open", "");
  modal(side, true);
  /** @type {HTMLElement | null} */ (side.querySelector("[data-closes]"))?.focus();
}

/**
 * @param {HTMLElement} side
 * @param {boolean} byPerson  focus goes back to where the drawer was opened
 */
function close(side, byPerson) {
  const floating = side.hasAttribute("data-floating");
  side.removeAttribute("data-open");
  side.inert = floating;
  modal(side, false);
  if (byPerson && floating) /** @type {HTMLElement | null} */ (opener(side))?.focus();
}

/** @param {HTMLElement} side */
function opener(side) {
  return document.querySelector(`[data-opens="${side.id}"]`);
}

/**
 * While a drawer is open, nothing behind it can be reached.
 * @param {HTMLElement} side
 * @param {boolean} on
 */
function modal(side, on) {
  opener(side)?.setAttribute("aria-expanded", String(on));
  side.setAttribute("role", on ? "dialog" : "complementary");
  if (on) side.setAttribute("aria-modal", "true");
  else side.removeAttribute("aria-modal");
  byId("chat").inert = on;
  byId("backdrop").hidden = !on;
}
