// @ts-check
/** The turns of the conversation on the page, and what is not sent yet below them. */

import { question } from "./approval.js";
import { h, place } from "./dom.js";
import { changed } from "./toolcalls.js";
import { awaitsDecision, hasEnded, isQueuedOrRunning } from "./turn.js";
import { TurnView, unsentMessage } from "./turnview.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./turn.js").Turn} Turn
 * @typedef {import("./outbox.js").OutboxItem} OutboxItem
 * @typedef {import("./turnview.js").Place} Place
 * @typedef {import("./turnview.js").Actions & {rescue: (lost: {edit_of: string, text: string}) => void}} Actions
 *
 * @typedef {object} Doing   what is on its way to the server
 * @property {OutboxItem[]} outbox
 * @property {(item: OutboxItem) => string} [held]   what one waits for that the server takes later
 * @property {boolean} online
 * @property {Set<string>} deciding  the calls about which a decision was sent
 */

export class Transcript {
  /**
   * @param {HTMLElement} element
   * @param {Actions} actions
   */
  constructor(element, actions) {
    this.element = element;
    this.actions = actions;
    /** @type {Map<string, TurnView>} */
    this.views = new Map();
    /** @type {{key: string, element: HTMLElement}[]} */
    this.unsent = [];
    /** @type {WeakMap<Turn, boolean>} */
    this.changes = new WeakMap();
  }

  /**
   * @param {State} state
   * @param {Doing} doing
   */
  show(state, doing) {
    const places = this.placesOf(state, doing);
    const turns = state.turns.map((turn, index) => {
      const view = this.view(turn.id);
      view.show(turn, places[index]);
      return view.element;
    });
    const prompts = new Set(state.turns.map((turn) => turn.prompt_id));
    const below = doing.outbox.filter((item) => item.text !== null && !prompts.has(item.edit_of));
    place(this.element, [...turns, ...this.drawUnsent(below, doing)]);
    this.forget(new Set(state.turns.map((turn) => turn.id)));
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
   * Let go the turns that are not current any more, but not what was being written there.
   * @param {Set<string>} current
   */
  forget(current) {
    for (const [id, view] of this.views) {
      if (current.has(id)) continue;
      this.views.delete(id);
      const lost = view.unsaved();
      if (lost) this.actions.rescue(lost);
    }
  }

  /**
   * Open a message to be changed; tell whether it is there.
   * @param {string | null} messageId
   * @param {string} text
   */
  open(messageId, text) {
    const view = [...this.views.values()].find((one) => one.turn?.prompt_id === messageId);
    view?.open(text);
    return view !== undefined;
  }

  /**
   * @param {State} state
   * @param {Doing} doing
   * @returns {Place[]}
   */
  placesOf(state, { outbox, online, deciding }) {
    const current = state.version === null;
    const underWay = outbox.filter((item) => item.refused === null);
    const retrying = new Set(underWay.map((item) => item.retry_of));
    const editing = new Set(underWay.map((item) => item.edit_of));
    const free = underWay.length === 0 && !state.turns.some(isQueuedOrRunning);
    const leavesFrom = state.turns.findIndex((turn) => retrying.has(turn.id) || (turn.prompt_id && editing.has(turn.prompt_id)));
    const following = this.following(state.turns);
    let ahead = 0;
    return state.turns.map((turn, index) => {
      const before = ahead;
      if (!hasEnded(turn)) ahead += 1;
      const awaited = current ? turn.tools.filter(awaitsDecision) : [];
      return {
        conversation: state.conversation_id,
        current,
        ahead: turn.status === "queued" ? before : 0,
        last: index === state.turns.length - 1,
        ...following[index],
        memoryStart: state.memory_start === turn.id,
        free,
        retrying: retrying.has(turn.id),
        leaving: leavesFrom >= 0 && index >= leavesFrom,
        // What does not depend on it is not drawn again.
        online: awaited.length > 0 || editing.size > 0 ? online : true,
        deciding: awaited.map((call) => call.call_id).filter((id) => deciding.has(id)),
        changes: Object.fromEntries([...turn.tools, ...turn.kept].map(({ call_id: id }) => [id, state.changes[id]]).filter(([, change]) => change)),
        questions: Object.fromEntries(awaited.map((call) => [call.call_id, question(call, state.tasks)])),
        edit: outbox.find((item) => item.edit_of !== null && item.edit_of === turn.prompt_id) ?? null,
      };
    });
  }

  /**
   * Count what stands after each turn, and tell whether something was changed from there on.
   * @param {Turn[]} turns
   */
  following(turns) {
    const found = [];
    let after = 0;
    let anyChanged = false;
    for (const turn of turns.slice().reverse()) {
      anyChanged ||= this.hasChanged(turn);
      found.push({ after, changed: anyChanged });
      after += (turn.prompt_text ? 1 : 0) + (turn.reply ? 1 : 0);
    }
    return found.reverse();
  }

  /** @param {Turn} turn */
  hasChanged(turn) {
    const known = this.changes.get(turn);
    if (known !== undefined) return known;
    const does = turn.tools.some(changed) || turn.kept.some(changed);
    this.changes.set(turn, does);
    return does;
  }

  /**
   * @param {OutboxItem[]} messages
   * @param {Doing} doing
   * @returns {HTMLElement[]}
   */
  drawUnsent(messages, { online, held }) {
    this.unsent = messages.map((item) => {
      const key = `${item.client_id} ${item.refused} ${item.held} ${online}`;
      const draw = () => h("li", { class: "turn", "data-unsent": true }, unsentMessage(item, online, this.actions));
      return this.unsent.find((drawn) => drawn.key === key) ?? { key, element: draw() };
    });
    // The time that is left changes every second; the buttons beside it stay.
    messages.forEach((item, index) => {
      const state = this.unsent[index].element.querySelector(".message__state span");
      if (item.held && online && state) state.textContent = held?.(item) ?? state.textContent;
    });
    return this.unsent.map((drawn) => drawn.element);
  }
}
