// @ts-check
/** The tool calls of a turn: a sentence for each, with arguments and result. */

import { h, icon, setChildren } from "./dom.js";

/**
 * @typedef {import("./turn.js").ToolCall} ToolCall
 * @typedef {import("./state.js").Change} Change
 */

/** @type {Record<string, {running: string, done: string, failed: string}>} */
const PHRASES = {
  create_task: { running: "Adding a task", done: "Added", failed: "Could not add the task" },
  list_tasks: { running: "Looking at your tasks", done: "Found", failed: "Could not look at your tasks" },
  get_task: { running: "Looking at a task", done: "Looked at", failed: "Could not find the task" },
  complete_task: { running: "Completing a task", done: "Completed", failed: "Could not complete the task" },
  update_task: { running: "Changing a task", done: "Changed", failed: "Could not change the task" },
  delete_task: { running: "Deleting a task", done: "Deleted", failed: "Could not delete the task" },
  delete_tasks: { running: "Deleting tasks", done: "Deleted", failed: "Could not delete the tasks" },
  undo: { running: "Undoing", done: "Undid", failed: "Could not undo it" },
  search_conversation: { running: "Searching this conversation", done: "Searched", failed: "Could not search this conversation" },
};

/**
 * Return the distinct numbers of the tasks that a call would delete; null for another call.
 * @param {ToolCall} call
 * @returns {number[] | null}
 */
export function taskNumbers(call) {
  const numbers = parseJson(call.arguments)?.numbers;
  return call.name === "delete_tasks" && Array.isArray(numbers) && numbers.length ? [...new Set(numbers)] : null;
}

/**
 * Return what a call would do, such as "delete 2 tasks".
 * @param {ToolCall} call
 */
export function requestedAction(call) {
  const numbers = taskNumbers(call);
  if (numbers === null) return call.name.replaceAll("_", " ");
  return `delete ${numbers.length === 1 ? "one task" : `${numbers.length} tasks`}`;
}

/**
 * Return the state of a call, and a sentence about it.
 * @param {ToolCall} call
 * @returns {{text: string, state: "waiting" | "running" | "done" | "failed" | "declined"}}
 */
export function callStatus(call) {
  if (call.approval === "awaiting") return { text: `Waiting for your decision: ${requestedAction(call)}`, state: "waiting" };
  if (call.approval === "declined") {
    const text = call.by === "superseded" ? "Not done: you did not decide" : `Declined: ${requestedAction(call)}`;
    return { text, state: "declined" };
  }
  const name = call.name.replaceAll("_", " ");
  const phrases = PHRASES[call.name] ?? { running: `Using ${name}`, done: "Used", failed: `Could not use ${name}` };
  if (call.error !== undefined && call.error !== null) return { text: phrases.failed, state: "failed" };
  if (call.output === undefined || call.output === null) return { text: `${phrases.running}…`, state: "running" };
  const output = parseJson(call.output);
  if (output?.ok === false) return { text: output.detail ? `${phrases.failed}: ${output.detail}` : phrases.failed, state: "failed" };
  return { text: `${phrases.done} ${resultText(call, output, name)}`, state: "done" };
}

/**
 * @param {ToolCall} call
 * @param {any} output
 * @param {string} name
 */
function resultText(call, output, name) {
  if (Array.isArray(output?.undone)) {
    return output.undone.length === 1 ? `the change of ${taskLabel(output.undone[0].task)}` : `the changes of ${output.undone.length} tasks`;
  }
  const task = output?.task;
  if (task) return taskLabel(task);
  if (Array.isArray(output?.tasks)) {
    const kind = { pending: "open ", completed: "completed " }[output.status] ?? "";
    const total = output.total ?? output.tasks.length;
    const missing = output.missing?.length ? ` (${output.missing.length} not on the list)` : "";
    return (total === 1 ? `one ${kind}task` : `${total === 0 ? "no" : total} ${kind}tasks`) + missing;
  }
  if (call.name === "list_tasks") return "your tasks";
  if (call.name === "search_conversation") return "this conversation";
  return PHRASES[call.name] ? "the task" : name;
}

/** @param {{number: number, title: string}} task */
const taskLabel = (task) => `task ${task.number}: ${task.title}`;

/**
 * @param {unknown} text
 * @returns {any}
 */
function parseJson(text) {
  if (typeof text !== "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {unknown} value */
export function formatJson(value) {
  const content = typeof value === "string" ? (parseJson(value) ?? value) : value;
  return typeof content === "string" ? content : JSON.stringify(content, sortKeys, 2);
}

/**
 * For `JSON.stringify`: sort keys, since PostgreSQL does not keep their order, and omit nulls.
 * @param {string} _
 * @param {any} value
 */
function sortKeys(_, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const given = Object.entries(value).filter(([, content]) => content !== null);
  return Object.fromEntries(given.sort(([a], [b]) => (a < b ? -1 : 1)));
}

// Shown less prominently than calls with an effect.
const READ_ONLY = new Set(["list_tasks", "get_task", "search_conversation"]);
const ICONS = { waiting: "clock", running: "retry", done: "check", failed: "alert", declined: "close" };

/**
 * Return whether a call succeeded and may have changed something.
 * @param {ToolCall} call
 */
export const hadEffect = (call) => !READ_ONLY.has(call.name) && callStatus(call).state === "done";

/** The calls of one turn, as a row of disclosures. */
export class ToolCallList {
  /**
   * @param {((change: string) => void) | null} undo
   * @param {string} [label]
   */
  constructor(undo, label = "What the assistant did") {
    this.undo = undo;
    this.element = h("ul", { class: "tools", "aria-label": label });
    /** @type {Map<string, {item: HTMLElement, call: ToolCall, change: Change | undefined}>} */
    this.items = new Map();
  }

  /**
   * @param {ToolCall[]} calls
   * @param {Record<string, Change>} changes
   */
  show(calls, changes) {
    const items = calls.map((call) => {
      const change = changes[call.call_id];
      const existing = this.items.get(call.call_id);
      if (existing?.call === call && existing.change === change) return existing.item;
      const item = existing?.item ?? h("li", { class: "tools__item" });
      const focused = item.contains(document.activeElement);
      renderCall(item, call, change, this.undo);
      this.items.set(call.call_id, { item, call, change });
      if (focused) this.focus(call.call_id);
      return item;
    });
    setChildren(this.element, items);
    this.element.hidden = calls.length === 0;
  }

  /**
   * Move the focus to a call.
   * @param {string} callId
   */
  focus(callId) {
    this.items.get(callId)?.item.querySelector("summary")?.focus({ preventScroll: true });
  }
}

/**
 * @param {HTMLElement} item
 * @param {ToolCall} call
 * @param {Change | undefined} change
 * @param {((change: string) => void) | null} undo
 */
function renderCall(item, call, change, undo) {
  const open = item.querySelector("details")?.open ?? false;
  const { text, state } = callStatus(call);
  const result = call.error ?? call.output;
  const className = `tool tool--${state}${READ_ONLY.has(call.name) ? " tool--read-only" : ""}`;
  item.replaceChildren(
    h("details", { class: className, "data-testid": "tool-call", "data-name": call.name, "data-state": state, "data-undone": change?.undone, open },
      h("summary", { class: "tool__summary" }, icon(ICONS[state]), h("span", { class: "tool__text" }, text),
        call.approval === "approved" && h("span", { class: "tool__tag" }, "Approved"),
        change?.undone && h("span", { class: "tool__tag", "data-testid": "undone" }, "Undone")),
      h("div", { class: "tool__body" },
        h("p", { class: "tool__name" }, call.name),
        h("pre", { class: "tool__detail", tabindex: 0, "aria-label": "Arguments" }, formatJson(call.arguments) ?? ""),
        result !== undefined && h("pre", { class: "tool__detail", tabindex: 0, "aria-label": "Result" }, formatJson(result)),
      ),
    ),
    ...(change?.undoable && undo
      ? [h("button", { type: "button", class: "tool__undo", "data-testid": "undo", "aria-label": `Undo: ${text}`, onclick: () => undo(change.change_id) }, "Undo")]
      : []),
  );
}
