// @ts-check
/** The form for new messages: it resizes, counts characters, stores a draft, and sends on Enter. */

import { byId } from "./dom.js";

// The share of the limit from which the count is shown.
const COUNT_THRESHOLD = 0.9;

export class Composer {
  /**
   * @param {{send: (text: string) => Promise<boolean>, stop: () => void}} actions  `send` returns whether to clear the text
   * @param {import("./outbox.js").Draft} draft
   */
  constructor(actions, draft) {
    this.actions = actions;
    this.draft = draft;
    /** @type {HTMLTextAreaElement} */
    this.field = byId("composer-text");
    /** @type {HTMLButtonElement} */
    this.sendButton = byId("send");
    this.stopButton = byId("stop");
    this.count = byId("composer-count");
    this.limit = Number(this.field.dataset.limit);
    // Without a draft, keep the text that the browser restored.
    this.field.value = draft.text || this.field.value;
    this.field.addEventListener("input", () => this.update());
    this.field.addEventListener("keydown", (event) => this.onKeydown(event));
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    this.stopButton.addEventListener("click", () => actions.stop());
    this.update();
  }

  /** @param {KeyboardEvent} event */
  onKeydown(event) {
    if (!isSendKey(event)) return;
    event.preventDefault();
    void this.submit();
  }

  async submit() {
    const text = this.field.value.trim();
    if (text === "" || codePointLength(text) > this.limit) return;
    if ((await this.actions.send(text)) && this.field.value.trim() === text) this.setText("");
  }

  /** @param {string} text */
  setText(text) {
    this.field.value = text;
    this.update();
  }

  /**
   * Append a text as a new paragraph.
   * @param {string} text
   */
  append(text) {
    this.setText([this.field.value.trim(), text].filter(Boolean).join("\n\n"));
  }

  update() {
    const text = this.field.value;
    const length = codePointLength(text.trim());
    this.draft.text = text;
    this.sendButton.disabled = length === 0 || length > this.limit;
    showCharacterCount(this.count, length, this.limit);
    this.field.setAttribute("aria-invalid", String(length > this.limit));
    fitHeight(this.field);
  }

  /** @param {boolean} running */
  showStop(running) {
    if (!running && document.activeElement === this.stopButton) this.field.focus();
    this.stopButton.hidden = !running;
  }

  focus() {
    this.field.focus({ preventScroll: true });
  }
}

/**
 * Return whether a key event belongs to an input method. Safari ends the composition before the event of its Enter key, which
 * only the key code identifies.
 * @param {KeyboardEvent} event
 */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/**
 * Return whether a key sends the message.
 * @param {KeyboardEvent} event
 */
export const isSendKey = (event) => event.key === "Enter" && !event.shiftKey && !isComposing(event);

/**
 * Show the length of a text that is near the limit or above it.
 * @param {HTMLElement} count
 * @param {number} length
 * @param {number} limit
 */
export function showCharacterCount(count, length, limit) {
  count.hidden = length < limit * COUNT_THRESHOLD;
  count.textContent = count.hidden ? "" : `${length.toLocaleString("en")} of ${limit.toLocaleString("en")}`;
  count.classList.toggle("composer__count--over", length > limit);
}

/**
 * Fit the height of a field to its text where the browser lacks `field-sizing`.
 * @param {HTMLTextAreaElement} field
 */
export function fitHeight(field) {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

/**
 * Return the number of code points, as the server counts.
 * @param {string} text
 */
export function codePointLength(text) {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}
