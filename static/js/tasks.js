// @ts-check
/** The to-do list beside the chat. */

import { byId, h, icon, place } from "./dom.js";
import { dueLabel, isOverdue, wallClock } from "./time.js";

/** @typedef {import("./state.js").Task} Task */

const RANK = /** @type {Record<string, number>} */ ({ high: 0, normal: 1, low: 2 });
const COMPLETED_SHOWN = 50;

/**
 * Sort what is still to do: by due date, those without one last, then by priority.
 * @param {Task[]} tasks
 */
export function pending(tasks) {
  // Due on a day means by its end.
  const due = (/** @type {Task} */ task) => (task.due === null ? "~" : task.due.padEnd(16, "~"));
  const order = (/** @type {Task} */ a, /** @type {Task} */ b) =>
    due(a) < due(b) ? -1 : due(a) > due(b) ? 1 : RANK[a.priority] - RANK[b.priority] || a.number - b.number;
  return tasks.filter((task) => !task.is_completed).sort(order);
}

/**
 * Sort what is done, the latest first.
 * @param {Task[]} tasks
 */
export function completed(tasks) {
  const when = (/** @type {Task} */ task) => Date.parse(task.completed_at ?? "");
  return tasks.filter((task) => task.is_completed).sort((a, b) => when(b) - when(a) || b.number - a.number);
}

export class TaskPanel {
  /** @param {{complete: ((task: Task) => void) | null, zone: string}} actions   null where nothing can be completed */
  constructor(actions) {
    this.actions = actions;
    this.list = byId("task-list");
    this.doneList = byId("done-list");
    /** @type {Map<string, {content: string, drawn: string, element: HTMLElement}>} */
    this.items = new Map();
    this.first = true;
  }

  /** @param {Task[]} tasks */
  show(tasks) {
    const now = wallClock(new Date(), this.actions.zone);
    const todo = pending(tasks);
    const done = completed(tasks);
    place(this.list, todo.map((task) => this.item(task, now)));
    place(this.doneList, done.slice(0, COMPLETED_SHOWN).map((task) => this.item(task, now)));
    byId("task-count").textContent = String(todo.length);
    byId("done-count").textContent = String(done.length);
    byId("no-tasks").hidden = todo.length > 0;
    byId("done").hidden = done.length === 0;
    const badge = byId("task-badge");
    badge.textContent = String(todo.length);
    badge.hidden = todo.length === 0;
    badge.parentElement?.setAttribute("aria-label", `Tasks: ${todo.length} to do`);
    this.first = false;
  }

  /**
   * @param {Task} task
   * @param {string} now
   */
  item(task, now) {
    const overdue = !task.is_completed && isOverdue(task.due, now);
    const due = task.due === null ? null : dueLabel(task.due, now);
    const content = JSON.stringify(task);
    const drawn = `${content} ${overdue} ${due}`;
    const known = this.items.get(task.task_id);
    if (known?.drawn === drawn) return known.element;
    const element = this.draw(task, overdue, due);
    // What changes while one looks on is pointed out; that a day has passed is not a change.
    if (!this.first && known?.content !== content) element.classList.add("task--fresh");
    this.items.set(task.task_id, { content, drawn, element });
    return element;
  }

  /**
   * @param {Task} task
   * @param {boolean} overdue
   * @param {string | null} due
   */
  draw(task, overdue, due) {
    const look = `task${overdue ? " task--overdue" : ""}${task.is_completed ? " task--done" : ""}`;
    const { complete } = this.actions;
    const tick = complete && !task.is_completed && h("button", {
      type: "button", class: "task__tick", "aria-label": `Mark task ${task.number} as done`, title: "Mark as done",
      onclick: () => complete(task),
    }, icon("check"));
    return h("li", { class: look, "data-testid": "task", "data-number": task.number, "data-priority": task.priority },
      tick,
      h("div", { class: "task__main" },
        h("p", { class: "task__title" }, task.title),
        task.description !== "" && h("p", { class: "task__description" }, task.description),
        h("p", { class: "task__facts" },
          h("span", { class: "task__number" }, `#${task.number}`),
          due !== null && h("span", { class: "task__due" }, icon("clock"), overdue ? `Overdue: ${due}` : due),
          task.priority !== "normal" && h("span", { class: "task__priority" }, icon("flag"), task.priority === "high" ? "High priority" : "Low priority"))));
  }
}
