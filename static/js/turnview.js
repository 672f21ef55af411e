// @ts-check
/** One turn on the page: what was asked, what was done, what was answered, how it ended. */

import { copyButton, h, icon, place } from "./dom.js";
import { MarkdownView } from "./markdown.js";
import { hasEnded } from "./state.js";
import { saidAt } from "./time.js";
import { ToolRow } from "./toolcalls.js";

/**
 * @typedef {import("./state.js").Turn} Turn
 * @typedef {import("./state.js").Message} Message
 *
 * @typedef {object} Place   where a turn stands among the others
 * @property {number} ahead        turns of the queue before it that have not ended
 * @property {boolean} adjacent    the turn before it answers the same message
 * @property {boolean} superseded  a later turn answers the same message
 * @property {boolean} last        no turn stands after it
 * @property {boolean} memoryStart the assistant's memory begins with it
 * @property {boolean} retrying    a retry was asked for and not yet accepted
 *
 * @typedef {object} Actions
 * @property {(turnId: string) => void} retry
 * @property {string} zone
 */

export class TurnView {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    this.element = h("li", { class: "turn" });
    this.tools = new ToolRow();
    this.markdown = new MarkdownView();
    this.drawn = "";
    /** @type {Turn | null} */
    this.turn = null;
    /** @type {Node[]} */
    this.promptNodes = [];
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
    const before = this.turn;
    this.turn = turn;
    this.drawn = drawn;
    this.element.dataset.turn = turn.id;
    this.element.dataset.status = turn.status;
    if (before?.prompt?.id !== turn.prompt?.id || before?.prompt_text !== turn.prompt_text || before === null) {
      this.promptNodes = turn.prompt ? [userMessage(turn.prompt, this.actions.zone)] : [];
    }
    this.tools.show(turn.tools);
    this.showReply(turn);
    place(this.element, this.parts(turn, where));
  }

  /** @param {Turn} turn */
  showReply(turn) {
    const text = turn.reply?.text ?? turn.text;
    this.markdown.show(text, turn.reply !== null);
    this.reply.dataset.id = turn.reply?.id ?? "";
    this.reply.toggleAttribute("data-streaming", turn.reply === null);
    const drawnFor = turn.reply?.id ?? "";
    if (this.replyFoot.dataset.for === drawnFor) return;
    this.replyFoot.dataset.for = drawnFor;
    const said = turn.reply;
    place(this.replyFoot, said ? [copyButton(() => said.text, "Copy reply"), clock(said.created_at, this.actions.zone)] : []);
  }

  /**
   * @param {Turn} turn
   * @param {Place} where
   * @returns {Node[]}
   */
  parts(turn, where) {
    const parts = [];
    if (where.memoryStart) parts.push(memoryStart());
    parts.push(...this.promptNodes);
    if (turn.prompt === null && turn.prompt_text && !where.adjacent) parts.push(again(turn.prompt_text));
    if (turn.warning) parts.push(warning(turn.warning.detail));
    // A retry begins with what was done before it.
    if (turn.tools.length && !where.superseded) parts.push(this.tools.element);
    if (turn.reply || turn.text) parts.push(this.reply);
    else if (turn.status === "running") parts.push(thinking());
    if (turn.status === "queued" && where.ahead > 0) parts.push(queued(where.ahead));
    if (turn.status === "waiting") parts.push(h("p", { class: "ending" }, icon("clock"), "Waiting for your decision"));
    if (hasEnded(turn)) parts.push(...this.ending(turn, where));
    return parts;
  }

  /**
   * @param {Turn} turn
   * @param {Place} where
   * @returns {Node[]}
   */
  ending(turn, where) {
    if (turn.status === "done" || (turn.status === "failed" && where.superseded)) return [];
    const failed = turn.status === "failed";
    const text = failed ? turn.error?.detail || "The reply could not be finished." : "Stopped";
    const line = h("div", { class: failed ? "ending ending--failed" : "ending", "data-testid": failed ? "failed" : "stopped" },
      icon(failed ? "alert" : "stop"), h("span", { class: failed ? "ending__text" : "" }, text));
    // Once the conversation has moved on, a message is sent again, not a reply tried again.
    if (where.last) line.append(this.retryButton(turn.id, where.retrying));
    return [line];
  }

  /**
   * @param {string} turnId
   * @param {boolean} retrying
   */
  retryButton(turnId, retrying) {
    return h("button", {
      type: "button", class: "button button--small", "data-testid": "retry", disabled: retrying,
      onclick: () => this.actions.retry(turnId),
    }, icon("retry"), retrying ? "Trying again…" : "Try again");
  }
}

/**
 * @param {Message} message
 * @param {string} zone
 */
function userMessage(message, zone) {
  return h("article", { class: "message message--user", "data-testid": "message", "data-role": "user", "data-id": message.id },
    h("h2", { class: "sr-only" }, "You"),
    h("div", { class: "message__text" }, message.text),
    h("div", { class: "message__foot" }, clock(message.created_at, zone), copyButton(() => message.text, "Copy message")));
}

/**
 * A message that the server has not accepted yet.
 * @param {string} text
 * @param {string} state
 * @param {boolean} refused
 * @param {HTMLElement[]} buttons
 */
export function unsentMessage(text, state, refused, buttons) {
  const look = refused ? "message--refused" : "message--waiting";
  return h("li", { class: "turn", "data-unsent": true },
    h("article", { class: `message message--user ${look}`, "data-testid": "unsent" },
      h("h2", { class: "sr-only" }, "You"),
      h("div", { class: "message__text" }, text),
      h("div", { class: "message__foot" }, h("span", { class: "message__state" }, icon(refused ? "alert" : "clock"), state), ...buttons)));
}

/**
 * @param {string} at
 * @param {string} zone
 */
function clock(at, zone) {
  const full = new Date(at).toLocaleString(undefined, { timeZone: zone, dateStyle: "full", timeStyle: "short" });
  return h("time", { datetime: at, title: full }, saidAt(at, new Date(), zone));
}

function memoryStart() {
  return h("p", { class: "memory-start", "data-testid": "memory-start" }, h("span", {}, "The assistant remembers from here"));
}

function thinking() {
  return h("p", { class: "thinking", "data-testid": "thinking" },
    h("span", { class: "thinking__dots", "aria-hidden": true }, h("i"), h("i"), h("i")), "Thinking");
}

/** @param {number} ahead */
function queued(ahead) {
  return h("p", { class: "ending", "data-testid": "queued" }, icon("clock"), ahead === 1 ? "Queued: answered next" : `Queued: ${ahead} before it`);
}

/** @param {string} detail */
function warning(detail) {
  return h("p", { class: "warning", "data-testid": "warning" }, icon("alert"), h("span", {}, detail));
}

/** @param {string} text */
function again(text) {
  return h("p", { class: "again" }, icon("retry"), h("span", {}, `Again: ${text}`));
}
