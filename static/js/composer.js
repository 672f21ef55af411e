// @ts-check
/** Where messages are written: it grows, counts, keeps its draft, and sends with Enter. */

import { byId } from "./dom.js";

const COUNT_FROM = 0.9;

export class Composer {
  /**
   * @param {{send: (text: string) => Promise<boolean>, stop: () => void}} actions  `send` returns whether the text is done with
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
    // What the browser put back by itself, after a reload, is newer than nothing.
    this.field.value = draft.text || this.field.value;
    this.field.addEventListener("input", () => this.changed());
    this.field.addEventListener("keydown", (event) => this.key(event));
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    this.stopButton.addEventListener("click", () => actions.stop());
    this.changed();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!sends(event)) return;
    event.preventDefault();
    void this.submit();
  }

  async submit() {
    const text = this.field.value.trim();
    if (text === "" || lengthOf(text) > this.limit) return;
    if ((await this.actions.send(text)) && this.field.value.trim() === text) this.put("");
  }

  /** @param {string} text */
  put(text) {
    this.field.value = text;
    this.changed();
  }

  /**
   * Put a text below what stands there.
   * @param {string} text
   */
  add(text) {
    this.put([this.field.value.trim(), text].filter(Boolean).join("\n\n"));
  }

  changed() {
    const text = this.field.value;
    const length = lengthOf(text.trim());
    this.draft.text = text;
    this.sendButton.disabled = length === 0 || length > this.limit;
    showCount(this.count, length, this.limit);
    this.field.setAttribute("aria-invalid", String(length > this.limit));
    grow(this.field);
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
 * Return whether a key belongs to an input method. Safari ends the composition before the Enter that does so: only the
 * key code tells.
 * @param {KeyboardEvent} event
 */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/**
 * Return whether a key sends what is written.
 * @param {KeyboardEvent} event
 */
export const sends = (event) => event.key === "Enter" && !event.shiftKey && !isComposing(event);

/**
 * Say how long a text is, once it is nearly too long.
 * @param {HTMLElement} count
 * @param {number} length
 * @param {number} limit
 */
export function showCount(count, length, limit) {
  count.hidden = length < limit * COUNT_FROM;
  count.textContent = count.hidden ? "" : `${length.toLocaleString("en")} of ${limit.toLocaleString("en")}`;
  count.classList.toggle("composer__count--over", length > limit);
}

/**
 * Where the style sheet cannot make a field grow with its text, measure.
 * @param {HTMLTextAreaElement} field
 */
export function grow(field) {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

/**
 * Count as the server does: code points.
 * @param {string} text
 */
export function lengthOf(text) {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}
