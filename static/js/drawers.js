// @ts-check
/** The sidebars, which become drawers in a narrow window. */

import { byId } from "./dom.js";

const QUERIES = /** @type {Record<string, string>} */ ({ conversations: "(max-width: 50rem)", tasks: "(max-width: 72rem)" });

export function setUpDrawers() {
  for (const [id, media] of Object.entries(QUERIES)) {
    const query = matchMedia(media);
    const side = byId(id);
    const update = () => {
      side.toggleAttribute("data-floating", query.matches);
      close(side, false);
    };
    query.addEventListener("change", update);
    update();
    for (const button of document.querySelectorAll(`[data-opens="${id}"]`)) button.addEventListener("click", () => open(side));
    side.querySelector("[data-closes]")?.addEventListener("click", () => close(side, true));
  }
  byId("backdrop").addEventListener("click", closeAll);
  document.addEventListener("keydown", (event) => event.key === "Escape" && closeAll());
}

/** Close the open drawer. */
function closeAll() {
  for (const id of Object.keys(QUERIES)) {
    if (byId(id).hasAttribute("data-open")) close(byId(id), true);
  }
}

/** @param {HTMLElement} side */
function open(side) {
  side.inert = false;
  side.setAttribute("data-open", "");
  setModal(side, true);
  /** @type {HTMLElement | null} */ (side.querySelector("[data-closes]"))?.focus();
}

/**
 * @param {HTMLElement} side
 * @param {boolean} restoreFocus  to the button that opens the drawer
 */
function close(side, restoreFocus) {
  const floating = side.hasAttribute("data-floating");
  side.removeAttribute("data-open");
  side.inert = floating;
  setModal(side, false);
  if (restoreFocus && floating) /** @type {HTMLElement | null} */ (opener(side))?.focus();
}

/** @param {HTMLElement} side */
function opener(side) {
  return document.querySelector(`[data-opens="${side.id}"]`);
}

/**
 * Make a drawer modal, or end that: the rest of the page is inert while it is open.
 * @param {HTMLElement} side
 * @param {boolean} on
 */
function setModal(side, on) {
  opener(side)?.setAttribute("aria-expanded", String(on));
  side.setAttribute("role", on ? "dialog" : "complementary");
  if (on) side.setAttribute("aria-modal", "true");
  else side.removeAttribute("aria-modal");
  byId("chat").inert = on;
  byId("backdrop").hidden = !on;
}
