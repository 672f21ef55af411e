// @ts-check
/** The turns of the conversation on the page, and what is not sent yet below them. */

import { h, place } from "./dom.js";
import { hasEnded } from "./state.js";
import { TurnView, unsentMessage } from "./turnview.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./state.js").Turn} Turn
 * @typedef {import("./outbox.js").Unsent} Unsent
 */

export class Transcript {
  /**
   * @param {HTMLElement} element
   * @param {{retry: (turnId: string) => void, resend: (unsent: Unsent) => void, edit: (unsent: Unsent) => void, zone: string}} actions
   */
  constructor(element, actions) {
    this.element = element;
    this.actions = actions;
    /** @type {Map<string, TurnView>} */
    this.views = new Map();
    /** @type {{key: string, element: HTMLElement}[]} */
    this.unsent = [];
  }

  /**
   * @param {State} state
   * @param {Unsent[]} outbox
   * @param {boolean} online
   */
  show(state, outbox, online) {
    const retrying = new Set(outbox.filter((item) => !item.refused).map((item) => item.retry_of));
    const turns = state.turns.map((turn, index) => {
      const view = this.view(turn.id);
      view.show(turn, this.placeOf(state, turn, index, retrying));
      return view.element;
    });
    place(this.element, [...turns, ...this.drawUnsent(outbox.filter((item) => item.text !== null), online)]);
  }

  /** @param {string} id */
  view(id) {
    const known = this.views.get(id);
    if (known) return known;
    const view = new TurnView(this.actions);
    this.views.set(id, view);
    return view;
  }

  /**
   * @param {State} state
   * @param {Turn} turn
   * @param {number} index
   * @param {Set<string | null>} retrying
   */
  placeOf(state, turn, index, retrying) {
    const same = (/** @type {Turn} */ other) => other.prompt_id !== null && other.prompt_id === turn.prompt_id;
    const before = state.turns[index - 1];
    return {
      ahead: turn.status === "queued" ? state.turns.slice(0, index).filter((other) => !hasEnded(other)).length : 0,
      adjacent: before !== undefined && same(before),
      superseded: state.turns.slice(index + 1).some(same),
      last: index === state.turns.length - 1,
      memoryStart: state.memory_start === turn.id,
      retrying: retrying.has(turn.id),
    };
  }

  /**
   * @param {Unsent[]} messages
   * @param {boolean} online
   * @returns {HTMLElement[]}
   */
  drawUnsent(messages, online) {
    this.unsent = messages.map((item) => {
      const state = item.refused ?? (online ? "Sending…" : "Waiting for the connection");
      const key = `${item.client_id} ${state}`;
      return this.unsent.find((drawn) => drawn.key === key) ?? { key, element: this.drawOne(item, state) };
    });
    return this.unsent.map((drawn) => drawn.element);
  }

  /**
   * @param {Unsent} item
   * @param {string} state
   */
  drawOne(item, state) {
    const buttons = item.refused
      ? [
          h("button", { type: "button", class: "button button--small", onclick: () => this.actions.resend(item) }, "Try again"),
          h("button", { type: "button", class: "button button--small", onclick: () => this.actions.edit(item) }, "Edit"),
        ]
      : [];
    return unsentMessage(item.text ?? "", state, Boolean(item.refused), buttons);
  }
}
