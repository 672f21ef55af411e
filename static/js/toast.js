// @ts-check
/** What was just done, with a way back. */

import { byId, h, icon } from "./dom.js";

// Long enough to read it and to reach the button; it stays while it is pointed at or has the focus.
const SHOWN = 6_000;

class Toast {
  constructor() {
    this.timer = 0;
  }

  /**
   * Say what was done, until something else is, it is closed or, where `passes`, its time is over.
   * @param {string} text
   * @param {{undo?: HTMLElement | null, focus?: boolean, passes?: boolean}} [how]
   */
  say(text, { undo = null, focus = false, passes = false } = {}) {
    const toast = byId("toast");
    const close = h("button", { type: "button", class: "toast__close", "aria-label": "Close", onclick: () => toast.replaceChildren() }, icon("close"));
    toast.replaceChildren(h("span", { class: "toast__text" }, text), ...(undo ? [undo] : []), close);
    toast.style.setProperty("--scroller", `${byId("scroller").getBoundingClientRect().top}px`);
    if (focus) (undo ?? close).focus();
    clearTimeout(this.timer);
    if (passes) this.timer = setTimeout(() => this.pass(), SHOWN);
  }

  pass() {
    const toast = byId("toast");
    if (toast.matches(":hover, :focus-within")) this.timer = setTimeout(() => this.pass(), 1_000);
    else toast.replaceChildren();
  }
}

export const toast = new Toast();
