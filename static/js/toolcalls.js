// @ts-check
/** What the assistant did, in a sentence one can read, and the whole of it on demand. */

import { h, icon, place } from "./dom.js";

/**
 * @typedef {import("./turn.js").ToolCall} ToolCall
 * @typedef {import("./state.js").Change} Change
 */

/** @type {Record<string, {doing: string, did: string, not: string}>} */
const WORDS = {
  create_task: { doing: "Adding a task", did: "Added", not: "Could not add the task" },
  list_tasks: { doing: "Looking at your tasks", did: "Found", not: "Could not look at your tasks" },
  get_task: { doing: "Looking at a task", did: "Looked at", not: "Could not find the task" },
  complete_task: { doing: "Completing a task", did: "Completed", not: "Could not complete the task" },
  update_task: { doing: "Changing a task", did: "Changed", not: "Could not change the task" },
  delete_task: { doing: "Deleting a task", did: "Deleted", not: "Could not delete the task" },
  delete_tasks: { doing: "Deleting tasks", did: "Deleted", not: "Could not delete the tasks" },
  undo: { doing: "Undoing", did: "Undid", not: "Could not undo it" },
  search_conversation: { doing: "Searching this conversation", did: "Searched", not: "Could not search this conversation" },
};

/**
 * Tell which tasks a call is about, each once, where it says so as a list of numbers.
 * @param {ToolCall} call
 * @returns {number[] | null}
 */
export function numbersOf(call) {
  const numbers = parsed(call.arguments)?.numbers;
  return call.name === "delete_tasks" && Array.isArray(numbers) && numbers.length ? [...new Set(numbers)] : null;
}

/**
 * Say what a call wants to do.
 * @param {ToolCall} call
 */
export function wish(call) {
  const numbers = numbersOf(call);
  if (numbers === null) return call.name.replaceAll("_", " ");
  return `delete ${numbers.length === 1 ? "one task" : `${numbers.length} tasks`}`;
}

/**
 * Say what a call does or did.
 * @param {ToolCall} call
 * @returns {{text: string, state: "waiting" | "running" | "done" | "failed" | "declined"}}
 */
export function sentence(call) {
  if (call.approval === "awaiting") return { text: `Waiting for your decision: ${wish(call)}`, state: "waiting" };
  if (call.approval === "declined") {
    const text = call.by === "superseded" ? "Not done: you did not decide" : `Declined: ${wish(call)}`;
    return { text, state: "declined" };
  }
  const plain = call.name.replaceAll("_", " ");
  const words = WORDS[call.name] ?? { doing: `Using ${plain}`, did: "Used", not: `Could not use ${plain}` };
  if (call.error !== undefined && call.error !== null) return { text: words.not, state: "failed" };
  if (call.output === undefined || call.output === null) return { text: `${words.doing}…`, state: "running" };
  const output = parsed(call.output);
  if (output?.ok === false) return { text: output.detail ? `${words.not}: ${output.detail}` : words.not, state: "failed" };
  return { text: `${words.did} ${what(call, output, plain)}`, state: "done" };
}

/**
 * @param {ToolCall} call
 * @param {any} output
 * @param {string} plain
 */
function what(call, output, plain) {
  if (Array.isArray(output?.undone)) {
    return output.undone.length === 1 ? `the change of ${named(output.undone[0].task)}` : `the changes of ${output.undone.length} tasks`;
  }
  const task = output?.task;
  if (task) return named(task);
  if (Array.isArray(output?.tasks)) {
    const kind = { pending: "open ", completed: "completed " }[output.status] ?? "";
    const total = output.total ?? output.tasks.length;
    const missing = output.missing?.length ? ` (${output.missing.length} not on the list)` : "";
    return (total === 1 ? `one ${kind}task` : `${total === 0 ? "no" : total} ${kind}tasks`) + missing;
  }
  if (call.name === "list_tasks") return "your tasks";
  if (call.name === "search_conversation") return "this conversation";
  return WORDS[call.name] ? "the task" : plain;
}

/** @param {{number: number, title: string}} task */
const named = (task) => `task ${task.number}: ${task.title}`;

/**
 * @param {unknown} text
 * @returns {any}
 */
function parsed(text) {
  if (typeof text !== "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {unknown} value */
export function pretty(value) {
  const content = typeof value === "string" ? (parsed(value) ?? value) : value;
  return typeof content === "string" ? content : JSON.stringify(content, ordered, 2);
}

/**
 * Put names in order, since the database keeps them in one of its own, and leave out what was not given.
 * @param {string} _
 * @param {any} value
 */
function ordered(_, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const given = Object.entries(value).filter(([, content]) => content !== null);
  return Object.fromEntries(given.sort(([a], [b]) => (a < b ? -1 : 1)));
}

// What only looked at something is shown more quietly than what changed it.
const LOOKS = new Set(["list_tasks", "get_task", "search_conversation"]);
const ICONS = { waiting: "clock", running: "retry", done: "check", failed: "alert", declined: "close" };

/**
 * Return whether a call changed something.
 * @param {ToolCall} call
 */
export const changed = (call) => !LOOKS.has(call.name) && sentence(call).state === "done";

/** The calls of one turn, as chips in a row. */
export class ToolRow {
  /**
   * @param {((change: string) => void) | null} undo
   * @param {string} [label]
   */
  constructor(undo, label = "What the assistant did") {
    this.undo = undo;
    this.element = h("ul", { class: "tools", "aria-label": label });
    /** @type {Map<string, {item: HTMLElement, call: ToolCall, change: Change | undefined}>} */
    this.chips = new Map();
  }

  /**
   * @param {ToolCall[]} calls
   * @param {Record<string, Change>} changes
   */
  show(calls, changes) {
    const items = calls.map((call) => {
      const change = changes[call.call_id];
      const known = this.chips.get(call.call_id);
      if (known?.call === call && known.change === change) return known.item;
      const item = known?.item ?? h("li", { class: "tools__item" });
      const focused = item.contains(document.activeElement);
      drawChip(item, call, change, this.undo);
      this.chips.set(call.call_id, { item, call, change });
      if (focused) this.focus(call.call_id);
      return item;
    });
    place(this.element, items);
    this.element.hidden = calls.length === 0;
  }

  /**
   * Move the focus to a call, as to what became of a question about it.
   * @param {string} callId
   */
  focus(callId) {
    this.chips.get(callId)?.item.querySelector("summary")?.focus({ preventScroll: true });
  }
}

/**
 * @param {HTMLElement} item
 * @param {ToolCall} call
 * @param {Change | undefined} change
 * @param {((change: string) => void) | null} undo
 */
function drawChip(item, call, change, undo) {
  const open = item.querySelector("details")?.open ?? false;
  const { text, state } = sentence(call);
  const result = call.error ?? call.output;
  const look = `tool tool--${state}${LOOKS.has(call.name) ? " tool--look" : ""}`;
  item.replaceChildren(
    h("details", { class: look, "data-testid": "tool-call", "data-name": call.name, "data-state": state, "data-undone": change?.undone, open },
      h("summary", { class: "tool__line" }, icon(ICONS[state]), h("span", { class: "tool__say" }, text),
        call.approval === "approved" && h("span", { class: "tool__tag" }, "Approved"),
        change?.undone && h("span", { class: "tool__tag", "data-testid": "undone" }, "Undone")),
      h("div", { class: "tool__body" },
        h("p", { class: "tool__name" }, call.name),
        h("pre", { class: "tool__detail", tabindex: 0, "aria-label": "Arguments" }, pretty(call.arguments) ?? ""),
        result !== undefined && h("pre", { class: "tool__detail", tabindex: 0, "aria-label": "Result" }, pretty(result)),
      ),
    ),
    ...(change?.undoable && undo
      ? [h("button", { type: "button", class: "tool__undo", "data-testid": "undo", "aria-label": `Undo: ${text}`, onclick: () => undo(change.change_id) }, "Undo")]
      : []),
  );
}
