// @ts-check
/** A message of one's own, opened to be said otherwise. */

import { grow, isComposing, lengthOf, sends, showCount } from "./composer.js";
import { h } from "./dom.js";

let opened = 0;

export class MessageEditor {
  /**
   * @param {string} text
   * @param {number} limit
   * @param {{save: (text: string) => void, cancel: () => void}} actions
   */
  constructor(text, limit, actions) {
    opened += 1;
    this.actions = actions;
    this.limit = limit;
    this.before = text;
    this.isPossible = true;
    const hint = `editor-hint-${opened}`;
    this.field = /** @type {HTMLTextAreaElement} */ (h("textarea", {
      class: "editor__text", rows: 1, "aria-label": "Edit your message", "aria-describedby": hint, enterkeyhint: "send",
      "data-testid": "editor",
    }));
    this.field.value = text;
    this.hint = h("p", { class: "editor__hint", id: hint });
    this.count = h("span", { class: "composer__count", role: "status", hidden: true });
    this.save = h("button", { type: "submit", class: "button button--small button--primary", "data-testid": "save" }, "Save and send");
    this.element = h("form", { class: "editor", autocomplete: "off" },
      this.field,
      h("div", { class: "editor__foot" },
        this.hint,
        this.count,
        h("div", { class: "editor__buttons" },
          h("button", { type: "button", class: "button button--small", onclick: () => actions.cancel() }, "Cancel"),
          this.save)));
    this.field.addEventListener("input", () => this.changed());
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.changed();
  }

  get text() {
    return this.field.value.trim();
  }

  /** Whether something would be lost if it closed. */
  get isTouched() {
    return this.text !== "" && this.text !== this.before.trim();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Escape" && !isComposing(event)) {
      event.stopPropagation();
      this.actions.cancel();
    } else if (event.target === this.field && sends(event)) {
      event.preventDefault();
      this.submit();
    }
  }

  submit() {
    if (this.isPossible && this.fits()) this.actions.save(this.text);
  }

  fits() {
    const length = lengthOf(this.text);
    return length > 0 && length <= this.limit;
  }

  changed() {
    const length = lengthOf(this.text);
    showCount(this.count, length, this.limit);
    this.field.setAttribute("aria-invalid", String(length > this.limit));
    this.save.toggleAttribute("disabled", !this.isPossible || !this.fits());
    grow(this.field);
  }

  /**
   * @param {boolean} possible
   * @param {string} hint
   */
  show(possible, hint) {
    this.isPossible = possible;
    this.hint.textContent = possible ? hint : "Can be sent once the reply is written.";
    this.changed();
  }

  /** Go there, behind the last word. */
  focus() {
    this.field.focus();
    this.field.setSelectionRange(this.field.value.length, this.field.value.length);
    grow(this.field);
  }
}
