// @ts-check
/** Which model answers in the chat, where there are several. */

import { byId } from "./dom.js";
import { url } from "./site.js";

/** @typedef {import("./state.js").Conversation} Conversation */
/** @typedef {import("./state.js").State} State */

const NO_CONNECTION = "The model was not changed: there is no connection.";

export class ModelChoice {
  /** @param {{changed: (line: Conversation) => void, signedOut: () => void, warn: (detail: string) => void}} page */
  constructor(page) {
    this.page = page;
    /** @type {HTMLSelectElement | null} */
    this.select = document.querySelector("#model");
    /** @type {Conversation | null} */
    this.line = null;
    this.select?.addEventListener("change", () => this.line && void this.put(this.line.id));
  }

  /** What a message that begins a chat asks for. */
  get chosen() {
    return this.line === null && this.select ? { model: this.select.value } : {};
  }

  /** @param {State} state */
  show({ conversation }) {
    const changed = conversation?.model !== this.line?.model;
    this.line = conversation;
    if (this.select === null) return;
    if (conversation?.model && changed) this.select.value = conversation.model;
    byId("bar-model").textContent = this.select.selectedOptions[0]?.textContent ?? "";
  }

  /** @param {string} id */
  async put(id) {
    const { select } = this;
    if (select === null) return;
    const token = /** @type {HTMLInputElement} */ (document.querySelector("#shelf [name=csrfmiddlewaretoken]")).value;
    const body = new URLSearchParams({ csrfmiddlewaretoken: token, model: select.value });
    try {
      const answer = await fetch(url(`/c/${id}/model/`), { method: "POST", body, headers: { accept: "application/json" } });
      if (answer.redirected) return this.page.signedOut();
      const data = await answer.json();
      if (answer.ok) return this.page.changed(data.conversation);
      this.refuse(data.error.detail);
    } catch {
      this.refuse(NO_CONNECTION);
    }
  }

  /** @param {string} detail */
  refuse(detail) {
    if (this.select !== null && this.line?.model) this.select.value = this.line.model;
    this.page.warn(detail);
  }
}
