// @ts-check
/** The to-do list beside the chat. */

import { byId, place } from "./dom.js";
import { More } from "./more.js";
import { withEdits } from "./taskedits.js";
import { TaskRow } from "./taskrow.js";
import { wallClock } from "./time.js";

/**
 * @typedef {import("./state.js").Task} Task
 * @typedef {import("./taskedits.js").TaskEdits} TaskEdits
 * @typedef {import("./taskrow.js").Draft} Draft
 */

// How long rows keep their place after the pointer has moved over them, or one was changed.
const ORDER_KEPT = 4_000;
const RANK = /** @type {Record<string, number>} */ ({ high: 0, normal: 1, low: 2 });
const COMPLETED_SHOWN = 50;
// How many open tasks the server sends unless asked for more; each time more are loaded, as many again are asked for.
const OPEN_SHOWN = 100;

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
 * Return the rows of the list of open tasks: in their order or, while it is kept, where they stand, those that were done
 * meanwhile among them, and new ones at the end.
 * @param {string[] | null} kept   the ids of the tasks that stand there
 * @param {Task[]} tasks
 */
export function rows(kept, tasks) {
  const todo = pending(tasks);
  if (kept === null) return todo;
  const there = new Map(tasks.map((task) => [task.task_id, task]));
  const standing = kept.map((id) => there.get(id)).filter((task) => task !== undefined);
  return [...standing, ...todo.filter((task) => !kept.includes(task.task_id))];
}

export class TaskPanel {
  /**
   * @param {{edits: TaskEdits | null, zone: string, more?: () => Promise<boolean>, draw?: () => void, draft?: (name: string) => Draft}}
   *   actions   `edits` is null where nothing can be changed; `more` loads more open tasks, else the link is followed; `draft` is
   *   where what is written is kept
   */
  constructor(actions) {
    this.actions = actions;
    this.list = byId("task-list");
    this.doneList = byId("done-list");
    /** @type {Map<string, TaskRow>} */
    this.items = new Map();
    this.first = true;
    /** @type {unknown[]} */
    this.shown = [];
    /** @type {string[] | null} the order of rows that is kept, so that none moves under the pointer */
    this.kept = null;
    /** @type {string[]} the order of rows as they are shown */
    this.standing = [];
    this.timer = 0;
    this.more = actions.more ? new More(byId("more-tasks"), actions.more) : null;
    if (actions.edits) this.setUpEditing(actions.edits);
  }

  /** @param {TaskEdits} edits */
  setUpEditing(edits) {
    const { list } = this;
    list.addEventListener("pointermove", ({ pointerType }) => pointerType === "mouse" && this.keepOrder());
    list.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && this.letMove());
    list.addEventListener("change", () => this.keepOrder(), true);
    list.addEventListener("focusout", ({ relatedTarget }) => {
      if (!list.contains(/** @type {Node | null} */ (relatedTarget))) this.letMove();
    });
    const form = byId("add-task");
    const field = /** @type {HTMLInputElement} */ (byId("add-task-title"));
    form.hidden = false;
    const draft = this.actions.draft?.("new") ?? { text: "" };
    field.value ||= draft.text;
    field.addEventListener("input", () => (draft.text = field.value));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const title = field.value;
      if (title.trim() === "" || field.readOnly) return;
      field.readOnly = true;
      const why = await edits.add({ title });
      field.readOnly = false;
      byId("add-task-error").textContent = why ?? "";
      if (why === null) field.value = draft.text = "";
    });
  }

  /** Keep every row where it stands, for a few seconds. */
  keepOrder() {
    this.kept ??= this.standing;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.letMove(), ORDER_KEPT);
  }

  letMove() {
    // Who goes through the list by keyboard is not to lose their place.
    if (this.kept === null || this.list.querySelector(":focus-visible")) return;
    clearTimeout(this.timer);
    this.kept = null;
    this.actions.draw?.();
  }

  /** @param {import("./state.js").State} state */
  show(state) {
    const now = wallClock(new Date(), this.actions.zone);
    const { tasks, counts } = withEdits(state, this.actions.edits?.ahead ?? new Map());
    // Where somebody writes, every row stays where it stands, also that of a task which is gone.
    const writing = [...this.items.values()].filter((row) => row.isWriting);
    const kept = this.kept ?? (writing.length > 0 ? this.standing : null);
    const shown = [tasks, counts.open, counts.completed, now, this.kept, writing.length];
    if (shown.every((value, index) => value === this.shown[index])) return;
    this.shown = shown;
    const there = new Set(tasks.map((task) => task.task_id));
    const gone = new Set(writing.map((row) => row.task).filter((task) => !there.has(task.task_id)));
    const todo = rows(kept, [...tasks, ...gone]);
    const standing = new Set(todo);
    this.standing = todo.map((task) => task.task_id);
    const done = completed([...tasks, ...gone]).filter((task) => !standing.has(task)).slice(0, COMPLETED_SHOWN);
    this.placeRows(todo, done, now, gone);
    const listed = [...todo, ...done].filter((task) => !gone.has(task));
    const open = listed.filter((task) => !task.is_completed).length;
    byId("task-count").textContent = String(counts.open);
    byId("done-count").textContent = String(counts.completed);
    byId("no-tasks").hidden = counts.open > 0 || todo.length > 0;
    byId("done").hidden = counts.completed === 0;
    byId("more-tasks-count").textContent = String(counts.open - open);
    this.more?.show(counts.open > open);
    const doneLeft = counts.completed - (listed.length - open);
    byId("more-done").hidden = doneLeft <= 0;
    byId("more-done-count").textContent = String(doneLeft);
    /** @type {HTMLAnchorElement} */ (byId("show-more-tasks")).href = `?tasks=${wanted(open)}`;
    const badge = byId("task-badge");
    badge.textContent = String(counts.open);
    badge.hidden = counts.open === 0;
    badge.parentElement?.setAttribute("aria-label", `Tasks: ${counts.open} to do`);
    this.first = false;
  }

  /**
   * Put the rows in place; the one with the focus keeps it and, where it leaves the list, the next one gets it.
   * @param {Task[]} todo
   * @param {Task[]} done
   * @param {string} now
   * @param {Set<Task>} gone
   */
  placeRows(todo, done, now, gone) {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const row = focused && [...this.list.children].findIndex((each) => each.contains(focused));
    place(this.list, todo.map((task) => this.item(task, now, gone.has(task))));
    place(this.doneList, done.map((task) => this.item(task, now, gone.has(task))));
    const there = new Set([...todo, ...done].map((task) => task.task_id));
    for (const id of this.items.keys()) if (!there.has(id)) this.items.delete(id);
    if (focused === null || row === null || row < 0 || focused === document.activeElement) return;
    if (this.list.contains(focused)) return focused.focus({ preventScroll: true });
    const next = todo[Math.min(row, todo.length - 1)];
    if (next) this.items.get(next.task_id)?.focus();
    else byId("add-task-title").focus({ preventScroll: true });
  }

  /**
   * @param {Task} task
   * @param {string} now
   * @param {boolean} gone
   */
  item(task, now, gone) {
    const known = this.items.get(task.task_id);
    const row = known ?? new TaskRow(this.actions.edits, () => this.actions.draw?.(), this.actions.draft?.(task.task_id));
    this.items.set(task.task_id, row);
    row.show(task, now, !this.first, gone);
    if (!known) row.restore();
    return row.element;
  }
}
