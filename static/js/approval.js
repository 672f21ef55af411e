// @ts-check
/** Requests for approval of tool calls: the question, its details, and two buttons. */

import { h, icon, setChildren } from "./dom.js";
import { dueLabel, isOverdue, wallClock } from "./time.js";
import { formatJson, requestedAction, taskNumbers } from "./toolcalls.js";

/**
 * @typedef {import("./turn.js").ToolCall} ToolCall
 * @typedef {import("./state.js").Task} Task
 *
 * @typedef {{number: number, title: string | null, due: string | null, completed: boolean}} TaskSummary  `title` is null for a
 *   task that the page has not loaded
 *
 * @typedef {object} Question
 * @property {string} text
 * @property {TaskSummary[] | null} tasks  the affected tasks; null for a call that is not about tasks
 * @property {string} approve
 * @property {string} decline
 * @property {any} [arguments]   of a call that is not about tasks
 * @property {boolean} danger   the call deletes something
 */

// Longer lists scroll.
const MAX_VISIBLE_TASKS = 6;

/**
 * Return the question about a call.
 * @param {ToolCall} call
 * @param {Task[]} tasks
 * @returns {Question}
 */
export function question(call, tasks) {
  const numbers = taskNumbers(call);
  const action = requestedAction(call);
  if (numbers === null) {
    return { text: `Allow ${action}?`, tasks: null, arguments: call.arguments, approve: "Allow", decline: "Decline", danger: false };
  }
  const tasksByNumber = new Map(tasks.map((task) => [task.number, task]));
  return {
    text: `${action[0].toUpperCase()}${action.slice(1)}?`,
    tasks: numbers.map((number) => {
      const task = tasksByNumber.get(number);
      return { number, title: task?.title ?? null, due: task?.due ?? null, completed: task?.is_completed ?? false };
    }),
    approve: numbers.length === 1 ? "Delete it" : "Delete them",
    decline: numbers.length === 1 ? "Keep it" : "Keep them",
    danger: true,
  };
}

/**
 * Return whether a task is completed, and when it is due.
 * @param {TaskSummary} task
 * @param {string} now   the user's local time
 */
export function taskStatus({ due, completed }, now) {
  if (completed) return "Completed";
  if (due === null) return "Open";
  return isOverdue(due, now) ? `Open, overdue: ${dueLabel(due, now)}` : `Open, due: ${dueLabel(due, now)}`;
}

/** A question that waits for the user's decision. */
export class ApprovalCard {
  /**
   * @param {ToolCall} call
   * @param {(approve: boolean) => void} decide
   * @param {string} zone
   */
  constructor(call, decide, zone) {
    this.zone = zone;
    this.renderedKey = "";
    this.title = h("p", { class: "approval__title" });
    this.details = h("div", { class: "approval__details" });
    this.state = h("span", { class: "approval__state" });
    // The button without an effect comes first.
    this.decline = h("button", { type: "button", class: "button", "data-testid": "decline", onclick: () => decide(false) });
    this.approve = h("button", { type: "button", class: "button", "data-testid": "approve", onclick: () => decide(true) });
    this.element = h("section", { class: "approval", role: "group", tabindex: -1, "data-testid": "approval", "data-call": call.call_id },
      h("div", { class: "approval__head" }, icon("alert"), this.title),
      this.details,
      h("div", { class: "approval__buttons" }, this.decline, this.approve, this.state));
  }

  /**
   * @param {Question} question
   * @param {{online: boolean, deciding: boolean}} status   `deciding`: a decision was sent
   */
  show(question, { online, deciding }) {
    const key = JSON.stringify(question);
    if (key !== this.renderedKey) this.render(question);
    this.renderedKey = key;
    // A disabled button loses the focus.
    if (deciding && this.element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    for (const button of [this.decline, this.approve]) button.toggleAttribute("disabled", deciding || !online);
    this.state.textContent = deciding ? "Deciding…" : online ? "" : "Waiting for the connection";
  }

  /** @param {Question} question */
  render(question) {
    const { text, approve, decline, danger } = question;
    this.element.classList.toggle("approval--danger", danger);
    this.approve.classList.toggle("button--danger", danger);
    this.approve.classList.toggle("button--primary", !danger);
    this.element.setAttribute("aria-label", text);
    this.title.textContent = text;
    this.approve.textContent = approve;
    this.decline.textContent = decline;
    setChildren(this.details, [questionDetails(question, this.zone)]);
  }
}

/**
 * Return an element with the affected tasks or the arguments.
 * @param {Question} question
 * @param {string} zone
 */
export function questionDetails({ tasks, arguments: args }, zone) {
  if (tasks) return taskList(tasks, wallClock(new Date(), zone));
  return h("pre", { class: "tool__detail", tabindex: 0, "aria-label": "Arguments" }, formatJson(args));
}

/**
 * @param {TaskSummary[]} tasks
 * @param {string} now
 */
function taskList(tasks, now) {
  const long = tasks.length > MAX_VISIBLE_TASKS;
  const line = (/** @type {TaskSummary} */ task) =>
    task.title === null
      ? h("li", {}, `task ${task.number}`)
      : h("li", {}, h("span", { class: "approval__number" }, `#${task.number}`), h("span", { class: "approval__task" }, task.title),
        h("span", { class: "approval__task-status" }, taskStatus(task, now)));
  return h("ul", { class: "approval__tasks", "aria-label": "Tasks", tabindex: long ? 0 : null }, ...tasks.map(line));
}
