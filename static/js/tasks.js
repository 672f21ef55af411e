// @ts-check
/** The to-do list beside the chat. */

import { byId, h, icon, place } from "./dom.js";
import { dueLabel, isOverdue, wallClock } from "./time.js";

/** @typedef {import("./state.js").Task} Task */

const RANK = /** @type {Record<string, number>} */ ({ high: 0, normal: 1, low: 2 });
const COMPLETED_SHOWN = 50;
// How many open tasks the server sends unless asked for more; each "Show more" asks for as many again.
const OPEN_SHOWN = 500;

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

/**
 * Return how many open tasks to ask for, to see more than are shown.
 * @param {number} shown
 */
export function wanted(shown) {
  return (Math.floor(shown / OPEN_SHOWN) + 1) * OPEN_SHOWN;
}

/**
 * @param {string} id
 * @param {number} count
 */
function showRest(id, count) {
  byId(id).hidden = count <= 0;
  byId(`${id}-count`).textContent = String(count);
}

export class TaskPanel {
  /**
   * @param {{complete: ((task: Task) => void) | null, zone: string, more?: () => void}} actions   `complete` is null where
   *   nothing can be completed; `more` is called when the person wants to see more open tasks, else the link is followed
   */
  constructor(actions) {
    this.actions = actions;
    this.list = byId("task-list");
    this.doneList = byId("done-list");
    /** @type {Map<string, {content: string, drawn: string, element: HTMLElement}>} */
    this.items = new Map();
    this.first = true;
    /** @type {unknown[]} */
    this.shown = [];
    byId("show-more-tasks").addEventListener("click", (event) => {
      if (!this.actions.more) return;
      event.preventDefault();
      this.actions.more();
    });
  }

  /** @param {import("./state.js").State} state */
  show({ tasks, task_counts: counts }) {
    const now = wallClock(new Date(), this.actions.zone);
    const shown = [tasks, counts, now];
    if (shown.every((value, index) => value === this.shown[index])) return;
    this.shown = shown;
    const todo = pending(tasks);
    const done = completed(tasks);
    place(this.list, todo.map((task) => this.item(task, now)));
    place(this.doneList, done.slice(0, COMPLETED_SHOWN).map((task) => this.item(task, now)));
    byId("task-count").textContent = String(counts.open);
    byId("done-count").textContent = String(counts.completed);
    byId("no-tasks").hidden = counts.open > 0;
    byId("done").hidden = counts.completed === 0;
    showRest("more-tasks", counts.open - todo.length);
    showRest("more-done", counts.completed - Math.min(done.length, COMPLETED_SHOWN));
    /** @type {HTMLAnchorElement} */ (byId("show-more-tasks")).href = `?tasks=${wanted(todo.length)}`;
    const badge = byId("task-badge");
    badge.textContent = String(counts.open);
    badge.hidden = counts.open === 0;
    badge.parentElement?.setAttribute("aria-label", `Tasks: ${counts.open} to do`);
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
        task.description !== "" && h("p", { class: "task__description", title: task.description }, task.description),
        h("p", { class: "task__facts" },
          h("span", { class: "task__number" }, `#${task.number}`),
          due !== null && h("span", { class: "task__due" }, icon("clock"), overdue ? `Overdue: ${due}` : due),
          task.priority !== "normal" && h("span", { class: "task__priority" }, icon("flag"), task.priority === "high" ? "High priority" : "Low priority"))));
  }
}
