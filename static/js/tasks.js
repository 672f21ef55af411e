// @ts-check
/** The task list beside the chat. */

import { byId, setChildren } from "./dom.js";
import { LoadMore } from "./loadmore.js";
import { withEdits } from "./taskedits.js";
import { TaskRow } from "./taskrow.js";
import { wallClock } from "./time.js";

/**
 * @typedef {import("./state.js").Task} Task
 * @typedef {import("./taskedits.js").TaskEdits} TaskEdits
 * @typedef {import("./taskrow.js").Draft} Draft
 */

// Milliseconds for which the order stays fixed after a change or a move of the pointer.
const ORDER_TIMEOUT = 4_000;
const PRIORITY_RANK = /** @type {Record<string, number>} */ ({ high: 0, normal: 1, low: 2 });
const COMPLETED_SHOWN = 50;
// The number of open tasks that the server sends at first, and by which the list grows.
const OPEN_SHOWN = 100;

/**
 * Return the open tasks by due date, those without one last, then by priority.
 * @param {Task[]} tasks
 */
export function openTasks(tasks) {
  // A task that is due on a day comes after those that are due at a time of it.
  const due = (/** @type {Task} */ task) => (task.due === null ? "~" : task.due.padEnd(16, "~"));
  const compare = (/** @type {Task} */ a, /** @type {Task} */ b) =>
    due(a) < due(b) ? -1 : due(a) > due(b) ? 1 : PRIORITY_RANK[a.priority] - PRIORITY_RANK[b.priority] || a.number - b.number;
  return tasks.filter((task) => !task.is_completed).sort(compare);
}

/**
 * Return the completed tasks, the last completed first.
 * @param {Task[]} tasks
 */
export function completedTasks(tasks) {
  const when = (/** @type {Task} */ task) => Date.parse(task.completed_at ?? "");
  return tasks.filter((task) => task.is_completed).sort((a, b) => when(b) - when(a) || b.number - a.number);
}

/**
 * Return the number of open tasks in a larger list.
 * @param {number} shown
 */
export function nextSize(shown) {
  return (Math.floor(shown / OPEN_SHOWN) + 1) * OPEN_SHOWN;
}

/**
 * Return the rows of the list of open tasks. A fixed order keeps its tasks in place, even if they are completed, and new ones come
 * at the end.
 * @param {string[] | null} fixedOrder   task ids
 * @param {Task[]} tasks
 */
export function orderedRows(fixedOrder, tasks) {
  const open = openTasks(tasks);
  if (fixedOrder === null) return open;
  const byTaskId = new Map(tasks.map((task) => [task.task_id, task]));
  const inPlace = fixedOrder.map((id) => byTaskId.get(id)).filter((task) => task !== undefined);
  return [...inPlace, ...open.filter((task) => !fixedOrder.includes(task.task_id))];
}

export class TaskPanel {
  /**
   * @param {{edits: TaskEdits | null, zone: string, more?: () => Promise<boolean>, draw?: () => void, draft?: (name: string) => Draft}}
   *   actions   `edits` is null if the list is read-only; `more` loads more open tasks, otherwise the link opens a page; `draft`
   *   returns the stored draft of a form
   */
  constructor(actions) {
    this.actions = actions;
    this.list = byId("task-list");
    this.completedList = byId("done-list");
    /** @type {Map<string, TaskRow>} */
    this.rows = new Map();
    this.isFirstRender = true;
    /** @type {unknown[]} */
    this.shown = [];
    /** @type {string[] | null} the fixed order of rows, so that none moves under the pointer */
    this.fixedOrder = null;
    /** @type {string[]} the current order of rows */
    this.order = [];
    this.timer = 0;
    this.more = actions.more ? new LoadMore(byId("more-tasks"), actions.more) : null;
    if (actions.edits) this.setUpEditing(actions.edits);
  }

  /** @param {TaskEdits} edits */
  setUpEditing(edits) {
    const { list } = this;
    list.addEventListener("pointermove", ({ pointerType }) => pointerType === "mouse" && this.keepOrder());
    list.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && this.releaseOrder());
    list.addEventListener("change", () => this.keepOrder(), true);
    list.addEventListener("focusout", ({ relatedTarget }) => {
      if (!list.contains(/** @type {Node | null} */ (relatedTarget))) this.releaseOrder();
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
      const error = await edits.add({ title });
      field.readOnly = false;
      byId("add-task-error").textContent = error ?? "";
      if (error === null) field.value = draft.text = "";
    });
  }

  /** Keep rows in place for a few seconds. */
  keepOrder() {
    this.fixedOrder ??= this.order;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.releaseOrder(), ORDER_TIMEOUT);
  }

  releaseOrder() {
    // Keyboard users keep their position.
    if (this.fixedOrder === null || this.list.querySelector(":focus-visible")) return;
    clearTimeout(this.timer);
    this.fixedOrder = null;
    this.actions.draw?.();
  }

  /** @param {import("./state.js").State} state */
  show(state) {
    const now = wallClock(new Date(), this.actions.zone);
    const { tasks, counts } = withEdits(state, this.actions.edits?.pending ?? new Map());
    // While a form has unsaved changes, all rows stay, even that of a removed task.
    const dirtyRows = [...this.rows.values()].filter((row) => row.isDirty);
    const order = this.fixedOrder ?? (dirtyRows.length > 0 ? this.order : null);
    const shown = [tasks, counts.open, counts.completed, now, this.fixedOrder, dirtyRows.length];
    if (shown.every((value, index) => value === this.shown[index])) return;
    this.shown = shown;
    const listedIds = new Set(tasks.map((task) => task.task_id));
    const removed = new Set(dirtyRows.map((row) => row.task).filter((task) => !listedIds.has(task.task_id)));
    const rows = orderedRows(order, [...tasks, ...removed]);
    const inList = new Set(rows);
    this.order = rows.map((task) => task.task_id);
    const done = completedTasks([...tasks, ...removed]).filter((task) => !inList.has(task)).slice(0, COMPLETED_SHOWN);
    this.placeRows(rows, done, now, removed);
    const listed = [...rows, ...done].filter((task) => !removed.has(task));
    const openCount = listed.filter((task) => !task.is_completed).length;
    byId("task-count").textContent = String(counts.open);
    byId("done-count").textContent = String(counts.completed);
    byId("no-tasks").hidden = counts.open > 0 || rows.length > 0;
    byId("done").hidden = counts.completed === 0;
    byId("more-tasks-count").textContent = String(counts.open - openCount);
    this.more?.show(counts.open > openCount);
    const completedLeft = counts.completed - (listed.length - openCount);
    byId("more-done").hidden = completedLeft <= 0;
    byId("more-done-count").textContent = String(completedLeft);
    /** @type {HTMLAnchorElement} */ (byId("show-more-tasks")).href = `?tasks=${nextSize(openCount)}`;
    const badge = byId("task-badge");
    badge.textContent = String(counts.open);
    badge.hidden = counts.open === 0;
    badge.parentElement?.setAttribute("aria-label", `Tasks: ${counts.open} to do`);
    this.isFirstRender = false;
  }

  /**
   * Insert the rows. The focused row keeps the focus; if it leaves the list, the next row gets it.
   * @param {Task[]} rows
   * @param {Task[]} done
   * @param {string} now
   * @param {Set<Task>} removed
   */
  placeRows(rows, done, now, removed) {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const position = focused && [...this.list.children].findIndex((each) => each.contains(focused));
    setChildren(this.list, rows.map((task) => this.row(task, now, removed.has(task))));
    setChildren(this.completedList, done.map((task) => this.row(task, now, removed.has(task))));
    const shownIds = new Set([...rows, ...done].map((task) => task.task_id));
    for (const id of this.rows.keys()) if (!shownIds.has(id)) this.rows.delete(id);
    if (focused === null || position === null || position < 0 || focused === document.activeElement) return;
    if (this.list.contains(focused)) return focused.focus({ preventScroll: true });
    const next = rows[Math.min(position, rows.length - 1)];
    if (next) this.rows.get(next.task_id)?.focus();
    else byId("add-task-title").focus({ preventScroll: true });
  }

  /**
   * @param {Task} task
   * @param {string} now
   * @param {boolean} isRemoved
   */
  row(task, now, isRemoved) {
    const existing = this.rows.get(task.task_id);
    const row = existing ?? new TaskRow(this.actions.edits, () => this.actions.draw?.(), this.actions.draft?.(task.task_id));
    this.rows.set(task.task_id, row);
    row.show(task, now, !this.isFirstRender, isRemoved);
    if (!existing) row.restore();
    return row.element;
  }
}
