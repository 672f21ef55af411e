// @ts-check
/** The reasoning of a model before its reply: collapsed, as plain text. */

import { h } from "./dom.js";

export class Reasoning {
  constructor() {
    this.text = document.createTextNode("");
    this.element = h("details", { class: "reasoning", "data-testid": "reasoning" },
      h("summary", { class: "reasoning__summary" }, "Thinking"),
      h("div", { class: "reasoning__text", role: "group", tabindex: 0, "aria-label": "Reasoning" }, this.text));
  }

  /**
   * Show the text. Append to text that has grown, so that a selection in it stays.
   * @param {string} text
   */
  show(text) {
    const shown = this.text.data;
    if (text.startsWith(shown)) {
      if (text.length > shown.length) this.text.appendData(text.slice(shown.length));
    } else {
      this.text.data = text;
    }
  }
}
