// @ts-check
/** A turn in the transcript: the message, the tool calls, the reply, and the status. */

import { ApprovalCard, question } from "./approval.js";
import { copyButton, h, icon, setChildren } from "./dom.js";
import { MessageEditor } from "./editor.js";
import { MarkdownView } from "./markdown.js";
import { fullTime, messageTime } from "./time.js";
import { ToolCallList } from "./toolcalls.js";
import { hasEnded } from "./turn.js";
import { consequences, RegenerateButton, versionLinks } from "./versions.js";

/**
 * @typedef {import("./turn.js").Turn} Turn
 * @typedef {import("./outbox.js").OutboxItem} OutboxItem
 * @typedef {import("./approval.js").Question} Question
 *
 * @typedef {object} TurnContext   what a view needs besides the turn itself
 * @property {string} conversationId
 * @property {boolean} isCurrent   false in an earlier version of the conversation, which is read-only
 * @property {number} ahead        the number of turns before it in the queue
 * @property {boolean} isLast
 * @property {number} messagesAfter
 * @property {boolean} hadEffect   the assistant changed something in this turn or a later one
 * @property {boolean} isMemoryStart   the assistant's memory begins with it
 * @property {boolean} canReplace  no turn and no request is active
 * @property {boolean} isRetrying  a retry was sent and is not accepted yet
 * @property {boolean} isReplacing   a sent edit or retry is about to replace it
 * @property {boolean} online
 * @property {string[]} deciding   calls with a sent decision
 * @property {Record<string, import("./state.js").Change>} changes   of tasks, by call
 * @property {Record<string, Question>} questions   by call
 * @property {OutboxItem | null} edit   an edit of its message that is not accepted yet
 *
 * @typedef {object} Actions
 * @property {(turnId: string) => void} retry
 * @property {(turnId: string, callId: string, approve: boolean) => void} decide
 * @property {(messageId: string, text: string) => Promise<boolean>} save   returns whether the edit was sent
 * @property {(unsent: OutboxItem) => void} resend
 * @property {(unsent: OutboxItem) => void} edit
 * @property {(unsent: OutboxItem) => void} discard
 * @property {((change: string) => void) | null} undo   null in an earlier version
 * @property {string} zone
 * @property {number} limit   of a message, in characters
 */

export class TurnView {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    this.element = h("li", { class: "turn" });
    this.tools = new ToolCallList(actions.undo);
    this.kept = new ToolCallList(actions.undo, "Done before and kept");
    this.keptRow = h("div", { class: "kept", "data-testid": "kept" }, h("span", { class: "kept__label" }, "Done before and kept:"), this.kept.element);
    this.markdown = new MarkdownView();
    this.reasoning = new Reasoning();
    this.contextKey = "";
    /** @type {Turn | null} */
    this.turn = null;
    /** @type {TurnContext | null} */
    this.context = null;
    /** @type {{key: string, element: HTMLElement} | null} */
    this.prompt = null;
    this.editButton = editButton(() => this.openEditor(this.turn?.prompt_text ?? ""));
    /** @type {{key: string, element: HTMLElement | null} | null} */
    this.versions = null;
    /** @type {{key: string, element: HTMLElement} | null} */
    this.unsent = null;
    /** @type {MessageEditor | null} */
    this.editor = null;
    /** @type {Map<string, ApprovalCard>} */
    this.cards = new Map();
    this.regenerate = new RegenerateButton(() => this.turn && actions.retry(this.turn.id));
    this.replyFooter = h("div", { class: "message__foot" });
    this.reply = h("article", { class: "message message--assistant", "data-testid": "message", "data-role": "assistant" },
      h("h2", { class: "sr-only" }, "Threadkeeper"), this.markdown.element, this.replyFooter);
  }

  /**
   * @param {Turn} turn
   * @param {TurnContext} context
   */
  show(turn, context) {
    const contextKey = JSON.stringify(context);
    if (turn === this.turn && contextKey === this.contextKey) return;
    this.turn = turn;
    this.context = context;
    this.contextKey = contextKey;
    this.element.id = `turn-${turn.id}`;
    this.element.dataset.turn = turn.id;
    this.element.dataset.status = turn.status;
    this.element.toggleAttribute("data-last", context.isLast);
    this.element.toggleAttribute("data-replacing", context.isReplacing);
    const focused = this.focusedCall();
    this.kept.show(turn.kept, context.changes);
    this.tools.show(turn.tools.filter((call) => context.questions[call.call_id] === undefined), context.changes);
    this.reasoning.show(turn.reasoning);
    this.showReply(turn, context);
    setChildren(this.element, this.parts(turn, context));
    // The result of the decision takes the place of the question.
    if (focused !== null && !this.cards.has(focused)) this.tools.focus(focused);
  }

  /** Return the id of the call whose question has the focus. */
  focusedCall() {
    for (const [callId, card] of this.cards) {
      if (card.element.contains(document.activeElement)) return callId;
    }
    return null;
  }

  /**
   * @param {Turn} turn
   * @param {TurnContext} context
   */
  showReply(turn, context) {
    const text = turn.reply?.text ?? turn.text;
    this.markdown.show(text, turn.reply !== null);
    this.reply.dataset.id = turn.reply?.id ?? "";
    this.reply.toggleAttribute("data-streaming", turn.reply === null);
    const available = turn.status === "done" && context.isCurrent && (context.canReplace || context.isRetrying);
    this.regenerate.show(available, context.isLast ? "" : consequences(context, context.messagesAfter));
    this.regenerate.button.toggleAttribute("disabled", context.isRetrying);
    const replyId = turn.reply?.id ?? "";
    if (this.replyFooter.dataset.replyId === replyId) return;
    this.replyFooter.dataset.replyId = replyId;
    const { reply } = turn;
    setChildren(this.replyFooter, reply
      ? [copyButton(() => reply.text, "Copy reply"), timeElement(reply.created_at, this.actions.zone), this.regenerate.button]
      : []);
  }

  /**
   * @param {Turn} turn
   * @param {TurnContext} context
   * @returns {Node[]}
   */
  parts(turn, context) {
    const parts = [];
    if (context.isMemoryStart) parts.push(memoryStartLine());
    parts.push(...this.promptParts(turn, context));
    if (turn.kept.length) parts.push(this.keptRow);
    if (turn.warning) parts.push(warningNotice(turn.warning.detail));
    if (turn.tools.length) parts.push(this.tools.element);
    if (turn.reasoning) parts.push(this.reasoning.element);
    if (turn.reply || turn.text) parts.push(this.reply, this.regenerate.confirmation);
    else if (turn.status === "running") parts.push(thinkingIndicator());
    if (turn.retrying) parts.push(retryingNotice(turn.retrying));
    parts.push(...this.approvalCards(turn, context));
    if (turn.status === "queued" && context.ahead > 0) parts.push(queuedNotice(context.ahead));
    if (turn.status === "waiting" && this.cards.size === 0) parts.push(h("p", { class: "turn-status" }, icon("clock"), "Waiting for your decision"));
    if (hasEnded(turn)) parts.push(...this.statusParts(turn, context));
    return parts;
  }

  /**
   * Return the message, or an edit of it.
   * @param {Turn} turn
   * @param {TurnContext} context
   * @returns {Node[]}
   */
  promptParts(turn, context) {
    const parts = [];
    this.editButton.hidden = !context.isCurrent || !context.canReplace || turn.prompt_id === null;
    if (this.editor) {
      this.editor.show(context.canReplace, consequences(context, context.messagesAfter + (turn.reply ? 1 : 0)));
      parts.push(this.editor.element);
    } else if (context.edit) {
      parts.push(this.unsentEdit(context.edit, context.online));
    } else if (turn.prompt_text) {
      parts.push(this.userMessage(turn));
    }
    const versions = this.versionLinks(turn, context);
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
        turn.prompt && timeElement(turn.prompt.created_at, this.actions.zone), copyButton(() => text, "Copy message"), this.editButton));
    this.prompt = { key, element };
    return element;
  }

  /**
   * @param {Turn} turn
   * @param {TurnContext} context
   */
  versionLinks(turn, context) {
    const key = turn.versions.join();
    if (this.versions?.key !== key) {
      const element = turn.versions.length > 1 ? versionLinks(turn.versions, turn.id, context.conversationId) : null;
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
   * Open the editor of the message.
   * @param {string} text
   */
  openEditor(text) {
    const { turn, context } = this;
    if (turn === null || context === null || turn.prompt_id === null) return;
    const messageId = turn.prompt_id;
    this.editor = new MessageEditor(text, this.actions.limit, {
      save: (edited) => void this.saveEdit(messageId, edited),
      cancel: () => this.closeEditor(),
    });
    this.editor.original = turn.prompt_text;
    setChildren(this.element, this.parts(turn, context));
    this.editor.focus();
  }

  closeEditor() {
    const { turn, context } = this;
    this.editor = null;
    if (turn === null || context === null) return;
    setChildren(this.element, this.parts(turn, context));
    this.editButton.focus();
  }

  /**
   * @param {string} messageId
   * @param {string} text
   */
  async saveEdit(messageId, text) {
    if (text === this.turn?.prompt_text) return this.closeEditor();
    if (await this.actions.save(messageId, text)) this.editor = null;
  }

  /** Return an edit that would be lost with this view. */
  unsavedEdit() {
    return this.editor?.isDirty && this.turn?.prompt_id ? { edit_of: this.turn.prompt_id, text: this.editor.text } : null;
  }

  /**
   * Return a card for each call that waits for a decision.
   * @param {Turn} turn
   * @param {TurnContext} context
   * @returns {Node[]}
   */
  approvalCards(turn, context) {
    const calls = turn.tools.filter((call) => context.questions[call.call_id] !== undefined);
    const previous = this.cards;
    this.cards = new Map(calls.map((call) => {
      const decide = (/** @type {boolean} */ approve) => this.actions.decide(turn.id, call.call_id, approve);
      return [call.call_id, previous.get(call.call_id) ?? new ApprovalCard(call, decide, this.actions.zone)];
    }));
    for (const [callId, card] of this.cards) {
      card.show(context.questions[callId], { online: context.online, deciding: context.deciding.includes(callId) });
    }
    return [...this.cards.values()].map((card) => card.element);
  }

  /**
   * @param {Turn} turn
   * @param {TurnContext} context
   * @returns {Node[]}
   */
  statusParts(turn, context) {
    if (turn.status === "done") return [];
    const failed = turn.status === "failed";
    const text = failed ? turn.error?.detail || "The reply could not be finished." : "Stopped";
    const element = h("div", { class: failed ? "turn-status turn-status--failed" : "turn-status", "data-testid": failed ? "failed" : "stopped" },
      icon(failed ? "alert" : "stop"), h("span", { class: failed ? "turn-status__text" : "" }, text));
    // Only the last turn can be retried.
    if (context.isLast && context.isCurrent) element.append(this.retryButton(turn.id, context));
    return [element];
  }

  /**
   * @param {string} turnId
   * @param {TurnContext} context
   */
  retryButton(turnId, { isRetrying, canReplace }) {
    return h("button", {
      type: "button", class: "button button--small", "data-testid": "retry", disabled: isRetrying || !canReplace,
      onclick: () => this.actions.retry(turnId),
    }, icon("retry"), isRetrying ? "Trying again…" : "Try again");
  }
}

/**
 * Return a message that the server has not accepted yet.
 * @param {OutboxItem} item
 * @param {boolean} online
 * @param {Pick<Actions, "resend" | "edit" | "discard">} actions
 */
export function unsentMessage(item, online, { resend, edit, discard }) {
  const className = item.refused ? "message--refused" : "message--waiting";
  const state = item.refused ?? (!online ? "Waiting for the connection" : item.held ? "Waiting…" : "Sending…");
  const button = (/** @type {string} */ label, /** @type {(unsent: OutboxItem) => void} */ action) =>
    h("button", { type: "button", class: "button button--small", onclick: () => action(item) }, label);
  const buttons = [
    ...(item.refused ? [button("Try again", resend)] : []),
    ...(item.refused || item.held ? [button("Edit", edit), button("Discard", discard)] : []),
  ];
  return h("article", { class: `message message--user ${className}`, "data-testid": "unsent" },
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
 * @param {string} time
 * @param {string} zone
 */
function timeElement(time, zone) {
  return h("time", { datetime: time, title: fullTime(time, zone) }, messageTime(time, new Date(), zone));
}

function memoryStartLine() {
  return h("p", { class: "memory-start", "data-testid": "memory-start" }, h("span", {}, "The assistant remembers from here"));
}

function thinkingIndicator() {
  return h("p", { class: "thinking", "data-testid": "thinking" },
    h("span", { class: "thinking__dots", "aria-hidden": true }, h("i"), h("i"), h("i")), "Thinking");
}

/** @param {string} detail */
function retryingNotice(detail) {
  return h("p", { class: "warning", "data-testid": "retrying" }, icon("retry"), h("span", {}, detail));
}

/** @param {number} ahead */
function queuedNotice(ahead) {
  return h("p", { class: "turn-status", "data-testid": "queued" }, icon("clock"), ahead === 1 ? "Queued: answered next" : `Queued: ${ahead} before it`);
}

/** @param {string} detail */
function warningNotice(detail) {
  return h("p", { class: "warning", "data-testid": "warning" }, icon("alert"), h("span", {}, detail));
}

/** The reasoning of a model before its reply: collapsed, as plain text. */
class Reasoning {
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
