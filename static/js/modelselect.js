// @ts-check
/** The choice of the model that answers in the chat, if there are several. */

import { byId } from "./dom.js";
import { url } from "./site.js";

/** @typedef {import("./state.js").Conversation} Conversation */
/** @typedef {import("./state.js").State} State */

const NO_CONNECTION = "The model was not changed: there is no connection.";

export class ModelSelect {
  /** @param {{changed: (conversation: Conversation) => void, signedOut: () => void, warn: (detail: string) => void}} page */
  constructor(page) {
    this.page = page;
    /** @type {HTMLSelectElement | null} */
    this.select = document.querySelector("#model");
    /** @type {Conversation | null} */
    this.conversation = null;
    this.select?.addEventListener("change", () => this.conversation && void this.save(this.conversation.id));
  }

  /** The model field of a new chat's first message; empty in an existing chat. */
  get firstMessageFields() {
    return this.conversation === null && this.select ? { model: this.select.value } : {};
  }

  /** @param {State} state */
  show({ conversation }) {
    const isChanged = conversation?.model !== this.conversation?.model;
    this.conversation = conversation;
    if (this.select === null) return;
    if (conversation?.model && isChanged) this.select.value = conversation.model;
    byId("bar-model").textContent = this.select.selectedOptions[0]?.textContent ?? "";
  }

  /** @param {string} id */
  async save(id) {
    const { select } = this;
    if (select === null) return;
    const token = /** @type {HTMLInputElement} */ (document.querySelector("#action-form [name=csrfmiddlewaretoken]")).value;
    const body = new URLSearchParams({ csrfmiddlewaretoken: token, model: select.value });
    try {
      const response = await fetch(url(`/c/${id}/model/`), { method: "POST", body, headers: { accept: "application/json" } });
      if (response.redirected) return this.page.signedOut();
      const data = await response.json();
      if (response.ok) return this.page.changed(data.conversation);
      this.revert(data.error.detail);
    } catch {
      this.revert(NO_CONNECTION);
    }
  }

  /** @param {string} detail */
  revert(detail) {
    if (this.select !== null && this.conversation?.model) this.select.value = this.conversation.model;
    this.page.warn(detail);
  }
}
