// @ts-check
/** The form that edits a message of the user. */

import { codePointLength, fitHeight, isComposing, isSendKey, showCharacterCount } from "./composer.js";
import { h } from "./dom.js";

let editorCount = 0;

export class MessageEditor {
  /**
   * @param {string} text
   * @param {number} limit
   * @param {{save: (text: string) => void, cancel: () => void}} actions
   */
  constructor(text, limit, actions) {
    editorCount += 1;
    this.actions = actions;
    this.limit = limit;
    this.original = text;
    this.canSend = true;
    const hint = `editor-hint-${editorCount}`;
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
    this.field.addEventListener("input", () => this.update());
    this.element.addEventListener("keydown", (event) => this.onKeydown(event));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.update();
  }

  get text() {
    return this.field.value.trim();
  }

  /** Whether it has a change to save. */
  get isDirty() {
    return this.text !== "" && this.text !== this.original.trim();
  }

  /** @param {KeyboardEvent} event */
  onKeydown(event) {
    if (event.key === "Escape" && !isComposing(event)) {
      event.stopPropagation();
      this.actions.cancel();
    } else if (event.target === this.field && isSendKey(event)) {
      event.preventDefault();
      this.submit();
    }
  }

  submit() {
    if (this.canSend && this.isValidLength()) this.actions.save(this.text);
  }

  isValidLength() {
    const length = codePointLength(this.text);
    return length > 0 && length <= this.limit;
  }

  update() {
    const length = codePointLength(this.text);
    showCharacterCount(this.count, length, this.limit);
    this.field.setAttribute("aria-invalid", String(length > this.limit));
    this.save.toggleAttribute("disabled", !this.canSend || !this.isValidLength());
    fitHeight(this.field);
  }

  /**
   * @param {boolean} canSend
   * @param {string} hint
   */
  show(canSend, hint) {
    this.canSend = canSend;
    this.hint.textContent = canSend ? hint : "Can be sent once the reply is written.";
    this.update();
  }

  /** Focus the field, with the cursor at the end. */
  focus() {
    this.field.focus();
    this.field.setSelectionRange(this.field.value.length, this.field.value.length);
    fitHeight(this.field);
  }
}
