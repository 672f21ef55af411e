// @ts-check
/**
 * What the person changes by hand in the list: sent to the API at once, one request of a task after the other, and shown
 * before the server has answered. Where it is refused, the list is as it was.
 */

import { ask, Refused } from "./api.js";
import { h } from "./dom.js";
import { url } from "./site.js";
import { toast } from "./toast.js";

/**
 * @typedef {import("./state.js").Task} Task
 * @typedef {import("./state.js").State} State
 *
 * @typedef {object} Ahead   a task as it is ahead of what the socket has told
 * @property {Task | null} task   null where it was deleted
 * @property {number | null} revision   the list's when the server had answered; null while it has not
 */

/**
 * Return the list with what the person changed, and drop what the socket has caught up with.
 * @param {Pick<State, "tasks" | "tasks_revision" | "task_counts">} state
 * @param {Map<string, Ahead>} ahead
 */
export function withEdits({ tasks, tasks_revision: revision, task_counts: counts }, ahead) {
  const known = new Map(tasks.map((task) => [task.task_id, task]));
  for (const [id, { task, revision: answered }] of ahead) {
    if (answered === null) continue;
    const told = known.get(id);
    const isTold = told && task ? Date.parse(told.updated_at) >= Date.parse(task.updated_at) : !told && !task;
    if (isTold || revision > answered) ahead.delete(id);
  }
  if (ahead.size === 0) return { tasks, counts };
  const counted = { ...counts };
  const count = (/** @type {Task | null | undefined} */ task, /** @type {number} */ by) => {
    if (task) counted[task.is_completed ? "completed" : "open"] += by;
  };
  for (const [id, { task }] of ahead) {
    count(known.get(id), -1);
    count(task, 1);
    if (task) known.set(id, task);
    else known.delete(id);
  }
  return { tasks: [...known.values()], counts: counted };
}

export class TaskEdits {
  /** @param {{draw: () => void, revision: () => number, signedOut: () => void}} page */
  constructor(page) {
    this.page = page;
    /** @type {Map<string, Ahead>} */
    this.ahead = new Map();
    /** @type {Map<string, Promise<unknown>>} the last request about each task */
    this.requests = new Map();
    /** @type {{body: string, key: string} | null} what was to be added and may have been */
    this.adding = null;
  }

  /**
   * Tick a task, or untick it.
   * @param {Task} task
   * @param {boolean} done
   */
  async tick(task, done) {
    const shown = { ...task, is_completed: done, completed_at: done ? new Date().toISOString() : null };
    const send = () => ask("PATCH", url(`/api/tasks/${task.task_id}`), { is_completed: done });
    await this.attempt(task, shown, send, done ? "completed" : "is open again");
  }

  /** @param {Task} task */
  async remove(task) {
    await this.attempt(task, null, () => ask("DELETE", url(`/api/tasks/${task.task_id}`)), "deleted");
  }

  /**
   * Change a task; return why it was not, or null.
   * @param {Task} task
   * @param {object} fields
   * @returns {Promise<string | null>}
   */
  async change(task, fields) {
    return this.attempt(task, undefined, () => ask("PATCH", url(`/api/tasks/${task.task_id}`), fields), "changed", true);
  }

  /**
   * Add a task; return why it was not, or null.
   * @param {object} fields
   * @returns {Promise<string | null>}
   */
  async add(fields) {
    const body = JSON.stringify(fields);
    // Sent again after a failure it is the same task.
    if (this.adding?.body !== body) this.adding = { body, key: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
    try {
      const { data, change } = await ask("POST", url("/api/tasks"), fields, { "idempotency-key": this.adding.key });
      this.adding = null;
      this.answered(data.task_id, data);
      this.say(`Task ${data.number} added`, change);
      return null;
    } catch (error) {
      return this.refused(error);
    }
  }

  /**
   * Undo a change by its id.
   * @param {string} change
   */
  async undo(change) {
    try {
      const { data } = await ask("POST", url(`/api/tasks/changes/${change}/undo`));
      for (const task of data.tasks) this.answered(task.task_id, task);
      for (const id of data.removed) this.answered(id, null);
      toast.say("Undone", { focus: document.activeElement === document.body, passes: true });
    } catch (error) {
      // What failed on its way can be tried again.
      this.say(this.refused(error), error instanceof Refused && error.retryable ? change : null);
    }
  }

  /**
   * Send a request about a task once those before it are answered.
   * @param {Task} task
   * @param {Task | null | undefined} shown   what is shown meanwhile; undefined leaves it as it is
   * @param {() => Promise<{data: any, change: string | null}>} send
   * @param {string} did
   * @param {boolean} [quiet]   a refusal is shown elsewhere
   * @returns {Promise<string | null>}
   */
  async attempt(task, shown, send, did, quiet = false) {
    const id = task.task_id;
    if (shown !== undefined) {
      this.ahead.set(id, { task: shown, revision: null });
      this.page.draw();
    }
    const request = (this.requests.get(id) ?? Promise.resolve()).catch(() => {}).then(send);
    this.requests.set(id, request);
    const isLast = () => this.requests.get(id) === request;
    try {
      const { data, change } = await request;
      if (isLast()) this.answered(id, data);
      // A row that is gone can only be brought back from there, also by keyboard.
      const focus = shown === null && document.querySelector("#task-list :focus-visible") !== null;
      this.say(`Task ${task.number} ${did}`, change, focus);
      return null;
    } catch (error) {
      if (isLast()) this.ahead.delete(id);
      this.page.draw();
      const why = this.refused(error);
      if (!quiet) this.say(why, null);
      return why;
    } finally {
      if (isLast()) this.requests.delete(id);
    }
  }

  /**
   * @param {string} id
   * @param {Task | null} task
   */
  answered(id, task) {
    this.ahead.set(id, { task, revision: this.page.revision() });
    this.page.draw();
  }

  /**
   * @param {unknown} error
   * @returns {string}
   */
  refused(error) {
    if (!(error instanceof Refused)) throw error;
    if (error.signedOut) this.page.signedOut();
    return error.message;
  }

  /**
   * @param {string} text
   * @param {string | null} change
   * @param {boolean} [focus]
   */
  say(text, change, focus = false) {
    const undo = change && h("button", { type: "button", class: "toast__undo", onclick: () => this.undo(change) }, "Undo");
    toast.say(text, { undo: undo || null, focus, passes: true });
  }
}
