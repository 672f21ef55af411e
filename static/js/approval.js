// @ts-check
/** What the assistant asks before it acts: the question, what it is about, and two buttons. */

import { h, icon, place } from "./dom.js";
import { dueLabel, isOverdue, wallClock } from "./time.js";
import { numbersOf, pretty, wish } from "./toolcalls.js";

/**
 * @typedef {import("./turn.js").ToolCall} ToolCall
 * @typedef {import("./state.js").Task} Task
 *
 * @typedef {{number: number, title: string | null, due: string | null, completed: boolean}} Named  a task, without a title
 *   where it is not known
 *
 * @typedef {object} Question
 * @property {string} text
 * @property {Named[] | null} tasks  those it is about; null where it is about something else
 * @property {string} approve
 * @property {string} decline
 * @property {any} [arguments]   of the call, where it is about something else
 * @property {boolean} danger   what is done cannot be undone here
 */

// Beyond so many the list scrolls.
const SCROLLS_FROM = 6;

/**
 * Put what a call wants to do as a question.
 * @param {ToolCall} call
 * @param {Task[]} tasks
 * @returns {Question}
 */
export function question(call, tasks) {
  const numbers = numbersOf(call);
  const wanted = wish(call);
  if (numbers === null) {
    return { text: `Allow ${wanted}?`, tasks: null, arguments: call.arguments, approve: "Allow", decline: "Decline", danger: false };
  }
  const known = new Map(tasks.map((task) => [task.number, task]));
  return {
    text: `${wanted[0].toUpperCase()}${wanted.slice(1)}?`,
    tasks: numbers.map((number) => {
      const task = known.get(number);
      return { number, title: task?.title ?? null, due: task?.due ?? null, completed: task?.is_completed ?? false };
    }),
    approve: numbers.length === 1 ? "Delete it" : "Delete them",
    decline: numbers.length === 1 ? "Keep it" : "Keep them",
    danger: true,
  };
}

/**
 * Say of a task whether it is done, and when it is due.
 * @param {Named} task
 * @param {string} now   the person's clock
 */
export function standing({ due, completed }, now) {
  if (completed) return "Completed";
  if (due === null) return "Open";
  return isOverdue(due, now) ? `Open, overdue: ${dueLabel(due, now)}` : `Open, due: ${dueLabel(due, now)}`;
}

/** One question, for as long as it waits. */
export class ApprovalCard {
  /**
   * @param {ToolCall} call
   * @param {(approve: boolean) => void} decide
   * @param {string} zone
   */
  constructor(call, decide, zone) {
    this.zone = zone;
    this.drawn = "";
    this.title = h("p", { class: "approval__title" });
    this.about = h("div", { class: "approval__about" });
    this.state = h("span", { class: "approval__state" });
    // First what changes nothing.
    this.decline = h("button", { type: "button", class: "button", "data-testid": "decline", onclick: () => decide(false) });
    this.approve = h("button", { type: "button", class: "button", "data-testid": "approve", onclick: () => decide(true) });
    this.element = h("section", { class: "approval", role: "group", tabindex: -1, "data-testid": "approval", "data-call": call.call_id },
      h("div", { class: "approval__head" }, icon("alert"), this.title),
      this.about,
      h("div", { class: "approval__buttons" }, this.decline, this.approve, this.state));
  }

  /**
   * @param {Question} asked
   * @param {{online: boolean, deciding: boolean}} now
   */
  show(asked, { online, deciding }) {
    const drawn = JSON.stringify(asked);
    if (drawn !== this.drawn) this.draw(asked);
    this.drawn = drawn;
    // A button that is disabled cannot keep the focus.
    if (deciding && this.element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    for (const button of [this.decline, this.approve]) button.toggleAttribute("disabled", deciding || !online);
    this.state.textContent = deciding ? "Deciding…" : online ? "" : "Waiting for the connection";
  }

  /** @param {Question} asked */
  draw(asked) {
    const { text, approve, decline, danger } = asked;
    this.element.classList.toggle("approval--danger", danger);
    this.approve.classList.toggle("button--danger", danger);
    this.approve.classList.toggle("button--primary", !danger);
    this.element.setAttribute("aria-label", text);
    this.title.textContent = text;
    this.approve.textContent = approve;
    this.decline.textContent = decline;
    place(this.about, [aboutOf(asked, this.zone)]);
  }
}

/**
 * Show what a question is about.
 * @param {Question} asked
 * @param {string} zone
 */
export function aboutOf({ tasks, arguments: given }, zone) {
  if (tasks) return taskList(tasks, wallClock(new Date(), zone));
  return h("pre", { class: "tool__detail", tabindex: 0, "aria-label": "Arguments" }, pretty(given));
}

/**
 * @param {Named[]} tasks
 * @param {string} now
 */
function taskList(tasks, now) {
  const long = tasks.length > SCROLLS_FROM;
  const line = (/** @type {Named} */ task) =>
    task.title === null
      ? h("li", {}, `task ${task.number}`)
      : h("li", {}, h("span", { class: "approval__number" }, `#${task.number}`), h("span", { class: "approval__task" }, task.title),
        h("span", { class: "approval__standing" }, standing(task, now)));
  return h("ul", { class: "approval__tasks", "aria-label": "Tasks", tabindex: long ? 0 : null }, ...tasks.map(line));
}
