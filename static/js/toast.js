// @ts-check
/** The toast: a message about the last action, with an Undo button. */

import { byId, h, icon } from "./dom.js";

// Enough time to read it and to reach the button.
const DURATION = 6_000;

class Toast {
  constructor() {
    this.timer = 0;
  }

  /**
   * Show a text until the next one replaces it or the user closes it; with `autoHide`, for a few seconds.
   * @param {string} text
   * @param {{undo?: HTMLElement | null, focus?: boolean, autoHide?: boolean}} [options]
   */
  show(text, { undo = null, focus = false, autoHide = false } = {}) {
    const toast = byId("toast");
    const close = h("button", { type: "button", class: "toast__close", "aria-label": "Close", onclick: () => toast.replaceChildren() }, icon("close"));
    toast.replaceChildren(h("span", { class: "toast__text" }, text), ...(undo ? [undo] : []), close);
    toast.style.setProperty("--scroller", `${byId("scroller").getBoundingClientRect().top}px`);
    if (focus) (undo ?? close).focus();
    clearTimeout(this.timer);
    if (autoHide) this.timer = setTimeout(() => this.hide(), DURATION);
  }

  /** Hide the toast, but not while it is hovered or has the focus. */
  hide() {
    const toast = byId("toast");
    if (toast.matches(":hover, :focus-within")) this.timer = setTimeout(() => this.hide(), 1_000);
    else toast.replaceChildren();
  }
}

export const toast = new Toast();
