// @ts-check
/**
 * The user's edits of the task list: shown before the server responds, and reverted if it refuses them. The requests about a task
 * are sent one after the other.
 */

import { ApiError, request } from "./api.js";
import { h } from "./dom.js";
import { url } from "./site.js";
import { toast } from "./toast.js";

/**
 * @typedef {import("./state.js").Task} Task
 * @typedef {import("./state.js").State} State
 *
 * @typedef {object} TaskEdit   an optimistic edit, until a frame confirms it
 * @property {Task | null} task   null if it was deleted
 * @property {number | null} revision   of the list, when the server responded; null before
 */

/**
 * Return the list with the edits applied. Remove edits that the list contains or supersedes.
 * @param {Pick<State, "tasks" | "tasks_revision" | "task_counts">} state
 * @param {Map<string, TaskEdit>} edits
 */
export function withEdits({ tasks, tasks_revision: revision, task_counts: counts }, edits) {
  const tasksById = new Map(tasks.map((task) => [task.task_id, task]));
  for (const [id, { task, revision: responseRevision }] of edits) {
    if (responseRevision === null) continue;
    const listed = tasksById.get(id);
    const isConfirmed = listed && task ? Date.parse(listed.updated_at) >= Date.parse(task.updated_at) : !listed && !task;
    if (isConfirmed || revision > responseRevision) edits.delete(id);
  }
  if (edits.size === 0) return { tasks, counts };
  const newCounts = { ...counts };
  const adjust = (/** @type {Task | null | undefined} */ task, /** @type {number} */ by) => {
    if (task) newCounts[task.is_completed ? "completed" : "open"] += by;
  };
  for (const [id, { task }] of edits) {
    adjust(tasksById.get(id), -1);
    adjust(task, 1);
    if (task) tasksById.set(id, task);
    else tasksById.delete(id);
  }
  return { tasks: [...tasksById.values()], counts: newCounts };
}

export class TaskEdits {
  /** @param {{draw: () => void, revision: () => number, signedOut: () => void}} page */
  constructor(page) {
    this.page = page;
    /** @type {Map<string, TaskEdit>} */
    this.pending = new Map();
    /** @type {Map<string, Promise<unknown>>} the last request per task */
    this.requests = new Map();
    /** @type {{body: string, key: string} | null} the last request to add a task, unless it succeeded */
    this.addRequest = null;
  }

  /**
   * Complete or reopen a task.
   * @param {Task} task
   * @param {boolean} completed
   */
  async setCompleted(task, completed) {
    const optimistic = { ...task, is_completed: completed, completed_at: completed ? new Date().toISOString() : null };
    const send = () => request("PATCH", url(`/api/tasks/${task.task_id}`), { is_completed: completed });
    await this.enqueue(task, optimistic, send, completed ? "completed" : "is open again");
  }

  /** @param {Task} task */
  async remove(task) {
    await this.enqueue(task, null, () => request("DELETE", url(`/api/tasks/${task.task_id}`)), "deleted");
  }

  /**
   * Change a task; return the error message, or null.
   * @param {Task} task
   * @param {object} fields
   * @returns {Promise<string | null>}
   */
  async update(task, fields) {
    return this.enqueue(task, undefined, () => request("PATCH", url(`/api/tasks/${task.task_id}`), fields), "changed", true);
  }

  /**
   * Add a task; return the error message, or null.
   * @param {object} fields
   * @returns {Promise<string | null>}
   */
  async add(fields) {
    const body = JSON.stringify(fields);
    // A retry after a failure has the same key, so that it adds one task.
    if (this.addRequest?.body !== body) this.addRequest = { body, key: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
    try {
      const { data, change } = await request("POST", url("/api/tasks"), fields, { "idempotency-key": this.addRequest.key });
      this.addRequest = null;
      this.applyResponse(data.task_id, data);
      this.showToast(`Task ${data.number} added`, change);
      return null;
    } catch (error) {
      return this.errorMessage(error);
    }
  }

  /**
   * Undo a change by its id.
   * @param {string} change
   */
  async undo(change) {
    try {
      const { data } = await request("POST", url(`/api/tasks/changes/${change}/undo`));
      for (const task of data.tasks) this.applyResponse(task.task_id, task);
      for (const id of data.removed) this.applyResponse(id, null);
      toast.show("Undone", { focus: document.activeElement === document.body, autoHide: true });
    } catch (error) {
      // A network or server error can be retried.
      this.showToast(this.errorMessage(error), error instanceof ApiError && error.retryable ? change : null);
    }
  }

  /**
   * Send a request after the previous requests about the task.
   * @param {Task} task
   * @param {Task | null | undefined} optimistic   what is shown until the response; undefined shows no change
   * @param {() => Promise<{data: any, change: string | null}>} send
   * @param {string} outcome   such as "deleted"
   * @param {boolean} [quiet]   the caller shows the error
   * @returns {Promise<string | null>}
   */
  async enqueue(task, optimistic, send, outcome, quiet = false) {
    const id = task.task_id;
    if (optimistic !== undefined) {
      this.pending.set(id, { task: optimistic, revision: null });
      this.page.draw();
    }
    const queued = (this.requests.get(id) ?? Promise.resolve()).catch(() => {}).then(send);
    this.requests.set(id, queued);
    const isLast = () => this.requests.get(id) === queued;
    try {
      const { data, change } = await queued;
      if (isLast()) this.applyResponse(id, data);
      // After a deletion by keyboard, the focus moves to the button that undoes it.
      const focus = optimistic === null && document.querySelector("#task-list :focus-visible") !== null;
      this.showToast(`Task ${task.number} ${outcome}`, change, focus);
      return null;
    } catch (error) {
      if (isLast()) this.pending.delete(id);
      this.page.draw();
      const message = this.errorMessage(error);
      if (!quiet) this.showToast(message, null);
      return message;
    } finally {
      if (isLast()) this.requests.delete(id);
    }
  }

  /**
   * @param {string} id
   * @param {Task | null} task
   */
  applyResponse(id, task) {
    this.pending.set(id, { task, revision: this.page.revision() });
    this.page.draw();
  }

  /**
   * @param {unknown} error
   * @returns {string}
   */
  errorMessage(error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.signedOut) this.page.signedOut();
    return error.message;
  }

  /**
   * @param {string} text
   * @param {string | null} change
   * @param {boolean} [focus]
   */
  showToast(text, change, focus = false) {
    const undo = change && h("button", { type: "button", class: "toast__undo", onclick: () => this.undo(change) }, "Undo");
    toast.show(text, { undo: undo || null, focus, autoHide: true });
  }
}
