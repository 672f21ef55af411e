// @ts-check
/** One turn on the page: what was asked, what was done, what was answered, how it ended. */

import { ApprovalCard, question } from "./approval.js";
import { copyButton, h, icon, place } from "./dom.js";
import { MessageEditor } from "./editor.js";
import { MarkdownView } from "./markdown.js";
import { saidAt, saidInFull } from "./time.js";
import { Reasoning } from "./reasoning.js";
import { ToolRow } from "./toolcalls.js";
import { hasEnded } from "./turn.js";
import { consequences, Regenerate, versionLinks } from "./versions.js";

/**
 * @typedef {import("./turn.js").Turn} Turn
 * @typedef {import("./outbox.js").OutboxItem} OutboxItem
 * @typedef {import("./approval.js").Question} Question
 *
 * @typedef {object} Place   where a turn stands among the others, and what can be done with it now
 * @property {string} conversation
 * @property {boolean} current     it can be gone on with; not so in an earlier version
 * @property {number} ahead        turns of the queue before it that have not ended
 * @property {boolean} last        no turn stands after it
 * @property {number} after        how many messages stand after it
 * @property {boolean} changed     in it, or after it, the assistant changed something
 * @property {boolean} memoryStart the assistant's memory begins with it
 * @property {boolean} free        nothing is on its way, so that it can be replaced
 * @property {boolean} retrying    a retry was asked for and not yet accepted
 * @property {boolean} leaving     it becomes an earlier version as soon as what is on its way is accepted
 * @property {boolean} online
 * @property {string[]} deciding   calls about which a decision is on its way
 * @property {Record<string, import("./state.js").Change>} changes   of tasks, by call
 * @property {Record<string, Question>} questions   what is asked, by call
 * @property {OutboxItem | null} edit  its message as it was changed, not yet accepted
 *
 * @typedef {object} Actions
 * @property {(turnId: string) => void} retry
 * @property {(turnId: string, callId: string, approve: boolean) => void} decide
 * @property {(messageId: string, text: string) => Promise<boolean>} save   returns whether it is sent
 * @property {(unsent: OutboxItem) => void} resend
 * @property {(unsent: OutboxItem) => void} edit
 * @property {(unsent: OutboxItem) => void} discard
 * @property {((change: string) => void) | null} undo   null where nothing can be undone
 * @property {string} zone
 * @property {number} limit   of a message, in characters
 */

export class TurnView {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    this.element = h("li", { class: "turn" });
    this.tools = new ToolRow(actions.undo);
    this.kept = new ToolRow(actions.undo, "Done before and kept");
    this.keptRow = h("div", { class: "kept", "data-testid": "kept" }, h("span", { class: "kept__label" }, "Done before and kept:"), this.kept.element);
    this.markdown = new MarkdownView();
    this.reasoning = new Reasoning();
    this.drawn = "";
    /** @type {Turn | null} */
    this.turn = null;
    /** @type {Place | null} */
    this.where = null;
    /** @type {{key: string, element: HTMLElement} | null} */
    this.prompt = null;
    this.pencil = editButton(() => this.open(this.turn?.prompt_text ?? ""));
    /** @type {{key: string, element: HTMLElement | null} | null} */
    this.versions = null;
    /** @type {{key: string, element: HTMLElement} | null} */
    this.unsent = null;
    /** @type {MessageEditor | null} */
    this.editor = null;
    /** @type {Map<string, ApprovalCard>} */
    this.cards = new Map();
    this.again = new Regenerate(() => this.turn && actions.retry(this.turn.id));
    this.replyFoot = h("div", { class: "message__foot" });
    this.reply = h("article", { class: "message message--assistant", "data-testid": "message", "data-role": "assistant" },
      h("h2", { class: "sr-only" }, "Threadkeeper"), this.markdown.element, this.replyFoot);
  }

  /**
   * @param {Turn} turn
   * @param {Place} where
   */
  show(turn, where) {
    const drawn = JSON.stringify(where);
    if (turn === this.turn && drawn === this.drawn) return;
    this.turn = turn;
    this.where = where;
    this.drawn = drawn;
    this.element.id = `turn-${turn.id}`;
    this.element.dataset.turn = turn.id;
    this.element.dataset.status = turn.status;
    this.element.toggleAttribute("data-last", where.last);
    this.element.toggleAttribute("data-leaving", where.leaving);
    const focused = this.focusedCall();
    this.kept.show(turn.kept, where.changes);
    this.tools.show(turn.tools.filter((call) => where.questions[call.call_id] === undefined), where.changes);
    this.reasoning.show(turn.reasoning);
    this.showReply(turn, where);
    place(this.element, this.parts(turn, where));
    // What became of the question stands where one was.
    if (focused !== null && !this.cards.has(focused)) this.tools.focus(focused);
  }

  /** Which question has the focus. */
  focusedCall() {
    for (const [callId, card] of this.cards) {
      if (card.element.contains(document.activeElement)) return callId;
    }
    return null;
  }

  /**
   * @param {Turn} turn
   * @param {Place} where
   */
  showReply(turn, where) {
    const text = turn.reply?.text ?? turn.text;
    this.markdown.show(text, turn.reply !== null);
    this.reply.dataset.id = turn.reply?.id ?? "";
    this.reply.toggleAttribute("data-streaming", turn.reply === null);
    const possible = turn.status === "done" && where.current && (where.free || where.retrying);
    this.again.show(possible, where.last ? "" : consequences(where, where.after));
    this.again.button.toggleAttribute("disabled", where.retrying);
    const drawnFor = turn.reply?.id ?? "";
    if (this.replyFoot.dataset.for === drawnFor) return;
    this.replyFoot.dataset.for = drawnFor;
    const said = turn.reply;
    place(this.replyFoot, said
      ? [copyButton(() => said.text, "Copy reply"), clock(said.created_at, this.actions.zone), this.again.button]
      : []);
  }

  /**
   * @param {Turn} turn
   * @param {Place} where
   * @returns {Node[]}
   */
  parts(turn, where) {
    const parts = [];
    if (where.memoryStart) parts.push(memoryStart());
    parts.push(...this.said(turn, where));
    if (turn.kept.length) parts.push(this.keptRow);
    if (turn.warning) parts.push(warning(turn.warning.detail));
    if (turn.tools.length) parts.push(this.tools.element);
    if (turn.reasoning) parts.push(this.reasoning.element);
    if (turn.reply || turn.text) parts.push(this.reply, this.again.question);
    else if (turn.status === "running") parts.push(thinking());
    if (turn.retrying) parts.push(retrying(turn.retrying));
    parts.push(...this.questions(turn, where));
    if (turn.status === "queued" && where.ahead > 0) parts.push(queued(where.ahead));
    if (turn.status === "waiting" && this.cards.size === 0) parts.push(h("p", { class: "ending" }, icon("clock"), "Waiting for your decision"));
    if (hasEnded(turn)) parts.push(...this.ending(turn, where));
    return parts;
  }

  /**
   * What the person said, or is saying in its place.
   * @param {Turn} turn
   * @param {Place} where
   * @returns {Node[]}
   */
  said(turn, where) {
    const parts = [];
    this.pencil.hidden = !where.current || !where.free || turn.prompt_id === null;
    if (this.editor) {
      this.editor.show(where.free, consequences(where, where.after + (turn.reply ? 1 : 0)));
      parts.push(this.editor.element);
    } else if (where.edit) {
      parts.push(this.unsentEdit(where.edit, where.online));
    } else if (turn.prompt_text) {
      parts.push(this.userMessage(turn));
    }
    const versions = this.versionLinks(turn, where);
    if (versions) parts.push(versions);
    return parts;
  }

  /** @param {Turn} turn */
  userMessage(turn) {
    const key = `${turn.prompt_id} ${turn.prompt?.created_at} ${turn.prompt_text}`;
    if (this.prompt?.key === key) return this.prompt.element;
    const text = turn.prompt_text;
    const element = h("article", { class: "message message--user", "data-testid": "message", "data-role": "user", "data-id": turn.prompt_id },
      h("h2", { class: "sr-only" }, "You"),
      h("div", { class: "message__text" }, text),
      h("div", { class: "message__foot" },
        turn.prompt && clock(turn.prompt.created_at, this.actions.zone), copyButton(() => text, "Copy message"), this.pencil));
    this.prompt = { key, element };
    return element;
  }

  /**
   * @param {Turn} turn
   * @param {Place} where
   */
  versionLinks(turn, where) {
    const key = turn.versions.join();
    if (this.versions?.key !== key) {
      const element = turn.versions.length > 1 ? versionLinks(turn.versions, turn.id, where.conversation) : null;
      this.versions = { key, element };
    }
    return this.versions.element;
  }

  /**
   * @param {OutboxItem} item
   * @param {boolean} online
   */
  unsentEdit(item, online) {
    const key = `${item.client_id} ${item.refused} ${item.held} ${online}`;
    if (this.unsent?.key !== key) this.unsent = { key, element: unsentMessage(item, online, this.actions) };
    return this.unsent.element;
  }

  /**
   * Open the message to be changed.
   * @param {string} text
   */
  open(text) {
    const { turn, where } = this;
    if (turn === null || where === null || turn.prompt_id === null) return;
    const messageId = turn.prompt_id;
    this.editor = new MessageEditor(text, this.actions.limit, {
      save: (changed) => void this.saved(messageId, changed),
      cancel: () => this.close(),
    });
    this.editor.before = turn.prompt_text;
    place(this.element, this.parts(turn, where));
    this.editor.focus();
  }

  close() {
    const { turn, where } = this;
    this.editor = null;
    if (turn === null || where === null) return;
    place(this.element, this.parts(turn, where));
    this.pencil.focus();
  }

  /**
   * @param {string} messageId
   * @param {string} text
   */
  async saved(messageId, text) {
    if (text === this.turn?.prompt_text) return this.close();
    if (await this.actions.save(messageId, text)) this.editor = null;
  }

  /** Take what was being written, before the turn goes. */
  unsaved() {
    return this.editor?.isTouched && this.turn?.prompt_id ? { edit_of: this.turn.prompt_id, text: this.editor.text } : null;
  }

  /**
   * What the assistant wants to know before it goes on.
   * @param {Turn} turn
   * @param {Place} where
   * @returns {Node[]}
   */
  questions(turn, where) {
    const asked = turn.tools.filter((call) => where.questions[call.call_id] !== undefined);
    const before = this.cards;
    this.cards = new Map(asked.map((call) => {
      const decide = (/** @type {boolean} */ approve) => this.actions.decide(turn.id, call.call_id, approve);
      return [call.call_id, before.get(call.call_id) ?? new ApprovalCard(call, decide, this.actions.zone)];
    }));
    for (const [callId, card] of this.cards) {
      card.show(where.questions[callId], { online: where.online, deciding: where.deciding.includes(callId) });
    }
    return [...this.cards.values()].map((card) => card.element);
  }

  /**
   * @param {Turn} turn
   * @param {Place} where
   * @returns {Node[]}
   */
  ending(turn, where) {
    if (turn.status === "done") return [];
    const failed = turn.status === "failed";
    const text = failed ? turn.error?.detail || "The reply could not be finished." : "Stopped";
    const line = h("div", { class: failed ? "ending ending--failed" : "ending", "data-testid": failed ? "failed" : "stopped" },
      icon(failed ? "alert" : "stop"), h("span", { class: failed ? "ending__text" : "" }, text));
    // Once the conversation has moved on, a message is sent again, not a reply tried again.
    if (where.last && where.current) line.append(this.retryButton(turn.id, where));
    return [line];
  }

  /**
   * @param {string} turnId
   * @param {Place} where
   */
  retryButton(turnId, { retrying, free }) {
    return h("button", {
      type: "button", class: "button button--small", "data-testid": "retry", disabled: retrying || !free,
      onclick: () => this.actions.retry(turnId),
    }, icon("retry"), retrying ? "Trying again…" : "Try again");
  }
}

/**
 * A message that the server has not accepted yet.
 * @param {OutboxItem} item
 * @param {boolean} online
 * @param {Pick<Actions, "resend" | "edit" | "discard">} actions
 */
export function unsentMessage(item, online, { resend, edit, discard }) {
  const look = item.refused ? "message--refused" : "message--waiting";
  const state = item.refused ?? (!online ? "Waiting for the connection" : item.held ? "Waiting…" : "Sending…");
  const button = (/** @type {string} */ label, /** @type {(unsent: OutboxItem) => void} */ action) =>
    h("button", { type: "button", class: "button button--small", onclick: () => action(item) }, label);
  const buttons = [
    ...(item.refused ? [button("Try again", resend)] : []),
    ...(item.refused || item.held ? [button("Edit", edit), button("Discard", discard)] : []),
  ];
  return h("article", { class: `message message--user ${look}`, "data-testid": "unsent" },
    h("h2", { class: "sr-only" }, "You"),
    h("div", { class: "message__text" }, item.text),
    h("div", { class: "message__foot" }, h("span", { class: "message__state" }, icon(item.refused ? "alert" : "clock"), h("span", {}, state)), ...buttons));
}

/** @param {() => void} onclick */
function editButton(onclick) {
  const label = "Edit message";
  return h("button", { type: "button", class: "icon-button message__edit", "data-testid": "edit", "aria-label": label, title: label, onclick }, icon("pencil"));
}

/**
 * @param {string} at
 * @param {string} zone
 */
function clock(at, zone) {
  return h("time", { datetime: at, title: saidInFull(at, zone) }, saidAt(at, new Date(), zone));
}

function memoryStart() {
  return h("p", { class: "memory-start", "data-testid": "memory-start" }, h("span", {}, "The assistant remembers from here"));
}

function thinking() {
  return h("p", { class: "thinking", "data-testid": "thinking" },
    h("span", { class: "thinking__dots", "aria-hidden": true }, h("i"), h("i"), h("i")), "Thinking");
}

/** @param {string} detail */
function retrying(detail) {
  return h("p", { class: "warning", "data-testid": "retrying" }, icon("retry"), h("span", {}, detail));
}

/** @param {number} ahead */
function queued(ahead) {
  return h("p", { class: "ending", "data-testid": "queued" }, icon("clock"), ahead === 1 ? "Queued: answered next" : `Queued: ${ahead} before it`);
}

/** @param {string} detail */
function warning(detail) {
  return h("p", { class: "warning", "data-testid": "warning" }, icon("alert"), h("span", {}, detail));
}
