// @ts-check
/** One task of the list: to be ticked and changed by hand where there is somebody to do it. */

import { h, icon } from "./dom.js";
import { dueLabel, isOverdue } from "./time.js";

/**
 * @typedef {import("./state.js").Task} Task
 * @typedef {import("./taskedits.js").TaskEdits} TaskEdits
 */

const PRIORITIES = ["low", "normal", "high"];

export class TaskRow {
  /** @param {TaskEdits | null} edits   null where nothing can be changed */
  constructor(edits) {
    this.edits = edits;
    this.content = "";
    this.drawn = "";
    /** @type {Task} */
    this.task = /** @type {any} */ (null);
    this.main = h("div", { class: "task__main" });
    this.tick = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", class: "task__tick", autocomplete: "off" }));
    // The second click of a double click would take back the first.
    this.tick.addEventListener("click", (event) => event.detail > 1 && event.preventDefault());
    this.tick.addEventListener("change", () => void this.edits?.tick(this.task, this.tick.checked));
    this.pencil = h("button", { type: "button", class: "icon-button task__edit", title: "Edit", onclick: () => this.open() }, icon("pencil"));
    /** @type {TaskForm | null} */
    this.form = null;
    this.element = h("li", { "data-testid": "task" });
    this.element.append(...(edits ? [this.tick, this.main, this.pencil] : [this.main]));
  }

  /**
   * @param {Task} task
   * @param {string} now
   * @param {boolean} fresh  a change of it is pointed out
   */
  show(task, now, fresh) {
    const overdue = !task.is_completed && isOverdue(task.due, now);
    const due = task.due === null ? null : dueLabel(task.due, now);
    const content = JSON.stringify([task.title, task.description, task.due, task.priority, task.is_completed]);
    const drawn = `${content} ${overdue} ${due}`;
    this.task = task;
    this.tick.checked = task.is_completed;
    if (drawn === this.drawn) return;
    // What changes while one looks on is pointed out; that a day has passed is not a change.
    const isFresh = fresh && content !== this.content;
    this.content = content;
    this.drawn = drawn;
    this.element.className = `task${overdue ? " task--overdue" : ""}${task.is_completed ? " task--done" : ""}${isFresh ? " task--fresh" : ""}`;
    this.element.dataset.number = String(task.number);
    this.element.dataset.priority = task.priority;
    const titleId = `task-${task.task_id}`;
    this.tick.setAttribute("aria-labelledby", titleId);
    this.pencil.setAttribute("aria-label", `Edit task ${task.number}: ${task.title}`);
    this.main.replaceChildren(
      h("p", { class: "task__title", id: titleId }, task.title),
      ...(task.description === "" ? [] : [h("p", { class: "task__description", title: task.description }, task.description)]),
      h("p", { class: "task__facts" },
        h("span", { class: "task__number" }, `#${task.number}`),
        due !== null && h("span", { class: "task__due" }, icon("clock"), overdue ? `Overdue: ${due}` : due),
        task.priority !== "normal" && h("span", { class: "task__priority" }, icon("flag"), task.priority === "high" ? "High priority" : "Low priority")));
  }

  focus() {
    this.tick.focus({ preventScroll: true });
  }

  open() {
    const { edits, task } = this;
    if (edits === null) return;
    this.form = new TaskForm(task, {
      save: (fields) => edits.change(this.task, fields),
      remove: () => void edits.remove(this.task),
      close: () => this.close(),
    });
    this.element.replaceChildren(this.form.element);
    this.form.title.focus();
  }

  close() {
    const hadFocus = this.element.contains(document.activeElement);
    this.form = null;
    this.element.replaceChildren(this.tick, this.main, this.pencil);
    if (hadFocus || document.activeElement === document.body) this.pencil.focus({ preventScroll: true });
  }
}

/** The fields of one task, until they are saved or left. */
class TaskForm {
  /**
   * @param {Task} task
   * @param {{save: (fields: object) => Promise<string | null>, remove: () => void, close: () => void}} actions
   */
  constructor(task, actions) {
    this.before = task;
    this.actions = actions;
    const [date, time] = (task.due ?? "").split("T");
    this.title = /** @type {HTMLInputElement} */ (h("input", { value: task.title, maxlength: 100, required: true }));
    this.note = /** @type {HTMLTextAreaElement} */ (h("textarea", { rows: 2, maxlength: 1000 }, task.description));
    this.date = /** @type {HTMLInputElement} */ (h("input", { type: "date", value: date, max: "9999-12-31" }));
    this.time = /** @type {HTMLInputElement} */ (h("input", { type: "time", value: time ?? "" }));
    this.priority = /** @type {HTMLSelectElement} */ (h("select", {},
      ...PRIORITIES.map((name) => h("option", { value: name, selected: name === task.priority }, name[0].toUpperCase() + name.slice(1)))));
    this.error = h("p", { class: "task__error", role: "alert" });
    this.save = h("button", { class: "button button--small button--primary" }, "Save");
    const button = (/** @type {string} */ label, /** @type {() => void} */ onclick) =>
      h("button", { type: "button", class: "button button--small", onclick }, label);
    this.element = h("form", { class: "task__form", autocomplete: "off", "aria-label": `Edit task ${task.number}` },
      field("Title", this.title), field("Note", this.note),
      h("div", { class: "task__when" }, field("Date", this.date), field("Time", this.time)),
      field("Priority", this.priority), this.error,
      h("div", { class: "task__buttons" }, this.save, button("Cancel", actions.close), button("Delete", actions.remove)));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    // Escape leaves the form, not the drawer that it is in.
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      actions.close();
    });
  }

  async submit() {
    const { before } = this;
    const due = this.date.value ? this.date.value + (this.time.value && `T${this.time.value}`) : null;
    if (due === null && this.time.value) {
      this.error.textContent = "A time needs a date.";
      return;
    }
    const wanted = { title: this.title.value, description: this.note.value, due, priority: this.priority.value };
    const fields = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => value !== before[/** @type {keyof typeof wanted} */ (name)]));
    if (Object.keys(fields).length === 0) return this.actions.close();
    this.save.toggleAttribute("disabled", true);
    const why = await this.actions.save(fields);
    this.save.toggleAttribute("disabled", false);
    this.error.textContent = why ?? "";
    if (why === null) this.actions.close();
  }
}

/**
 * @param {string} label
 * @param {HTMLElement} control
 */
function field(label, control) {
  return h("label", { class: "task__field" }, h("span", {}, label), control);
}
