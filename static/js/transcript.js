// @ts-check
/** The turns of the conversation, and the unsent messages after them. */

import { question } from "./approval.js";
import { h, setChildren } from "./dom.js";
import { hadEffect } from "./toolcalls.js";
import { awaitsDecision, hasEnded, isQueuedOrRunning } from "./turn.js";
import { TurnView, unsentMessage } from "./turnview.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./turn.js").Turn} Turn
 * @typedef {import("./outbox.js").OutboxItem} OutboxItem
 * @typedef {import("./turnview.js").TurnContext} TurnContext
 * @typedef {import("./turnview.js").Actions & {keepEdit: (edit: {edit_of: string, text: string}) => void}} Actions   `keepEdit`
 *   stores an unsaved edit of a replaced turn
 *
 * @typedef {object} Outgoing   what was sent to the server and is not confirmed
 * @property {OutboxItem[]} outbox
 * @property {(item: OutboxItem) => string} [held]   returns the state of a held item
 * @property {boolean} online
 * @property {Set<string>} deciding  calls with a sent decision
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
    this.effects = new WeakMap();
  }

  /**
   * @param {State} state
   * @param {Outgoing} outgoing
   */
  show(state, outgoing) {
    const contexts = this.contextsOf(state, outgoing);
    const turns = state.turns.map((turn, index) => {
      const view = this.view(turn.id);
      view.show(turn, contexts[index]);
      return view.element;
    });
    const prompts = new Set(state.turns.map((turn) => turn.prompt_id));
    const newMessages = outgoing.outbox.filter((item) => item.text !== null && !prompts.has(item.edit_of));
    setChildren(this.element, [...turns, ...this.renderUnsent(newMessages, outgoing)]);
    this.removeOthers(new Set(state.turns.map((turn) => turn.id)));
  }

  /** @param {string} id */
  view(id) {
    const existing = this.views.get(id);
    if (existing) return existing;
    const view = new TurnView(this.actions);
    this.views.set(id, view);
    return view;
  }

  /**
   * Remove the views of other turns, but keep their unsaved edits.
   * @param {Set<string>} currentIds
   */
  removeOthers(currentIds) {
    for (const [id, view] of this.views) {
      if (currentIds.has(id)) continue;
      this.views.delete(id);
      const edit = view.unsavedEdit();
      if (edit) this.actions.keepEdit(edit);
    }
  }

  /**
   * Open the editor of a message; return whether the message is loaded.
   * @param {string | null} messageId
   * @param {string} text
   */
  openEditor(messageId, text) {
    const view = [...this.views.values()].find(({ turn }) => turn?.prompt_id === messageId);
    view?.openEditor(text);
    return view !== undefined;
  }

  /**
   * @param {State} state
   * @param {Outgoing} outgoing
   * @returns {TurnContext[]}
   */
  contextsOf(state, { outbox, online, deciding }) {
    const isCurrent = state.version === null;
    const sending = outbox.filter((item) => item.refused === null);
    const retrying = new Set(sending.map((item) => item.retry_of));
    const editing = new Set(sending.map((item) => item.edit_of));
    const canReplace = sending.length === 0 && !state.turns.some(isQueuedOrRunning);
    const replacedFrom = state.turns.findIndex((turn) => retrying.has(turn.id) || (turn.prompt_id && editing.has(turn.prompt_id)));
    const following = this.countFollowing(state.turns);
    let ahead = 0;
    return state.turns.map((turn, index) => {
      const turnsAhead = ahead;
      if (!hasEnded(turn)) ahead += 1;
      const awaited = isCurrent ? turn.tools.filter(awaitsDecision) : [];
      return {
        conversationId: state.conversation_id,
        isCurrent,
        ahead: turn.status === "queued" ? turnsAhead : 0,
        isLast: index === state.turns.length - 1,
        ...following[index],
        isMemoryStart: state.memory_start === turn.id,
        canReplace,
        isRetrying: retrying.has(turn.id),
        isReplacing: replacedFrom >= 0 && index >= replacedFrom,
        // Most turns do not depend on the connection.
        online: awaited.length > 0 || editing.size > 0 ? online : true,
        deciding: awaited.map((call) => call.call_id).filter((id) => deciding.has(id)),
        changes: Object.fromEntries([...turn.tools, ...turn.kept].map(({ call_id: id }) => [id, state.changes[id]]).filter(([, change]) => change)),
        questions: Object.fromEntries(awaited.map((call) => [call.call_id, question(call, state.tasks)])),
        edit: outbox.find((item) => item.edit_of !== null && item.edit_of === turn.prompt_id) ?? null,
      };
    });
  }

  /**
   * Return for each turn the number of messages after it, and whether it or a later turn changed something.
   * @param {Turn[]} turns
   */
  countFollowing(turns) {
    const counts = [];
    let messagesAfter = 0;
    let anyEffect = false;
    for (const turn of turns.slice().reverse()) {
      anyEffect ||= this.hadEffect(turn);
      counts.push({ messagesAfter, hadEffect: anyEffect });
      messagesAfter += (turn.prompt_text ? 1 : 0) + (turn.reply ? 1 : 0);
    }
    return counts.reverse();
  }

  /** @param {Turn} turn */
  hadEffect(turn) {
    const cached = this.effects.get(turn);
    if (cached !== undefined) return cached;
    const result = turn.tools.some(hadEffect) || turn.kept.some(hadEffect);
    this.effects.set(turn, result);
    return result;
  }

  /**
   * @param {OutboxItem[]} messages
   * @param {Outgoing} outgoing
   * @returns {HTMLElement[]}
   */
  renderUnsent(messages, { online, held }) {
    this.unsent = messages.map((item) => {
      const key = `${item.client_id} ${item.refused} ${item.held} ${online}`;
      const render = () => h("li", { class: "turn", "data-unsent": true }, unsentMessage(item, online, this.actions));
      return this.unsent.find((rendered) => rendered.key === key) ?? { key, element: render() };
    });
    // The remaining time changes every second; the buttons stay the same elements.
    messages.forEach((item, index) => {
      const state = this.unsent[index].element.querySelector(".message__state span");
      if (item.held && online && state) state.textContent = held?.(item) ?? state.textContent;
    });
    return this.unsent.map((rendered) => rendered.element);
  }
}
