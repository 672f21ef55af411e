// @ts-check
/** One task of the list: to be ticked and changed by hand where there is somebody to do it. */

import { h, icon } from "./dom.js";
import { dueLabel, isOverdue } from "./time.js";

/**
 * @typedef {import("./state.js").Task} Task
 * @typedef {import("./taskedits.js").TaskEdits} TaskEdits
 * @typedef {{title: string, description: string, due: string | null, priority: string}} Fields   of a task, as they can be changed
 * @typedef {{text: string}} Draft   outlives the page
 */

const PRIORITIES = ["low", "normal", "high"];
const NAMES = { title: "Title", description: "Note", due: "Date", priority: "Priority" };

export class TaskRow {
  /**
   * @param {TaskEdits | null} edits   null where nothing can be changed
   * @param {() => void} closed   is called once nothing is written here any more
   * @param {Draft} [draft]   keeps what is written
   */
  constructor(edits, closed, draft = { text: "" }) {
    this.edits = edits;
    this.draft = draft;
    this.closed = closed;
    this.content = "";
    this.drawn = "";
    /** @type {Task} */
    this.task = /** @type {any} */ (null);
    this.main = h("div", { class: "task__main" });
    this.tick = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", class: "task__checkbox", autocomplete: "off" }));
    // The second click of a double click would take back the first.
    this.tick.addEventListener("click", (event) => event.detail > 1 && event.preventDefault());
    this.tick.addEventListener("change", () => void this.edits?.tick(this.task, this.tick.checked));
    this.pencil = h("button", { type: "button", class: "icon-button task__edit", title: "Edit", onclick: () => this.open() }, icon("pencil"));
    /** @type {TaskForm | null} */
    this.form = null;
    this.element = h("li", { "data-testid": "task" });
    this.element.append(...(edits ? [this.tick, this.main, this.pencil] : [this.main]));
  }

  /** Whether something would be lost if the row went away. */
  get isWriting() {
    return this.form?.isTouched ?? false;
  }

  /**
   * @param {Task} task
   * @param {string} now
   * @param {boolean} fresh  a change of it is pointed out
   * @param {boolean} gone   it is not on the list any more, and shown since something is written here
   */
  show(task, now, fresh, gone) {
    this.form?.follow(task, gone);
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
    this.element.className = `task${overdue ? " task--overdue" : ""}${task.is_completed ? " task--done" : ""}${isFresh ? " task--updated" : ""}`;
    this.element.dataset.number = String(task.number);
    this.element.dataset.priority = task.priority;
    const titleId = `task-${task.task_id}`;
    this.tick.setAttribute("aria-labelledby", titleId);
    this.pencil.setAttribute("aria-label", `Edit task ${task.number}: ${task.title}`);
    this.main.replaceChildren(
      h("p", { class: "task__title", id: titleId }, task.title),
      ...(task.description === "" ? [] : [h("p", { class: "task__description", title: task.description }, task.description)]),
      h("p", { class: "task__meta" },
        h("span", { class: "task__number" }, `#${task.number}`),
        due !== null && h("span", { class: "task__due" }, icon("clock"), overdue ? `Overdue: ${due}` : due),
        task.priority !== "normal" && h("span", { class: "task__priority" }, icon("flag"), task.priority === "high" ? "High priority" : "Low priority")));
  }

  focus() {
    this.tick.focus({ preventScroll: true });
  }

  open() {
    this.openForm();
    this.form?.title.focus();
  }

  /** Open the form again in which something was written before the page was left. */
  restore() {
    if (this.draft.text === "") return;
    const { before, typed } = JSON.parse(this.draft.text);
    this.openForm();
    this.form?.restore(before, typed);
    this.form?.follow(this.task, false);
  }

  openForm() {
    const { edits, task } = this;
    if (edits === null) return;
    const form = new TaskForm(task, {
      save: (fields) => edits.change(this.task, fields),
      add: (fields) => edits.add(fields),
      remove: () => {
        this.close();
        void edits.remove(this.task);
      },
      close: () => this.close(),
    });
    this.form = form;
    form.element.addEventListener("input", () => {
      this.draft.text = form.isTouched ? JSON.stringify({ before: form.before, typed: form.typed }) : "";
    });
    this.element.replaceChildren(form.element);
  }

  close() {
    const hadFocus = this.element.contains(document.activeElement);
    this.form = null;
    this.draft.text = "";
    this.element.replaceChildren(this.tick, this.main, this.pencil);
    if (hadFocus || document.activeElement === document.body) this.pencil.focus({ preventScroll: true });
    this.closed();
  }
}

/** The fields of one task, until they are saved or left. What is typed stays, whatever becomes of the task meanwhile. */
class TaskForm {
  /**
   * @param {Task} task
   * @param {{save: (fields: object) => Promise<string | null>, add: (fields: object) => Promise<string | null>, remove: () => void,
   *   close: () => void}} actions
   */
  constructor(task, actions) {
    this.before = fieldsOf(task);
    /** What was changed elsewhere in a field that was changed here, too. @type {Partial<Fields>} */
    this.others = {};
    this.isGone = false;
    this.isSending = false;
    this.actions = actions;
    this.title = /** @type {HTMLInputElement} */ (h("input", { maxlength: 100, required: true }));
    this.note = /** @type {HTMLTextAreaElement} */ (h("textarea", { rows: 2, maxlength: 1000 }));
    this.date = /** @type {HTMLInputElement} */ (h("input", { type: "date", max: "9999-12-31" }));
    this.time = /** @type {HTMLInputElement} */ (h("input", { type: "time" }));
    this.priority = /** @type {HTMLSelectElement} */ (h("select", {}, ...PRIORITIES.map((name) => h("option", { value: name }, capitalized(name)))));
    this.put(this.before);
    this.error = h("p", { class: "task__error", role: "alert" });
    this.meanwhile = h("div", { class: "task__conflict", role: "alert" });
    this.save = h("button", { class: "button button--small button--primary" }, "Save");
    this.buttons = h("div", { class: "task__buttons" }, this.save, button("Cancel", actions.close), button("Delete", actions.remove));
    this.element = h("form", { class: "task__form", autocomplete: "off", "aria-label": `Edit task ${task.number}` },
      field("Title", this.title), field("Note", this.note),
      h("div", { class: "task__due-inputs" }, field("Date", this.date), field("Time", this.time)),
      field("Priority", this.priority), this.error, this.meanwhile, this.buttons);
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

  /** @returns {Fields} */
  get typed() {
    const due = this.date.value ? this.date.value + (this.time.value && `T${this.time.value}`) : null;
    return { title: this.title.value, description: this.note.value, due, priority: this.priority.value };
  }

  /** What was changed here. @returns {Partial<Fields>} */
  get changes() {
    return differing(this.typed, this.before);
  }

  get isTouched() {
    return Object.keys(this.changes).length > 0 || (this.date.value === "" && this.time.value !== "");
  }

  /**
   * @param {Fields} before   what the task was when the person began to change it
   * @param {Fields} typed
   */
  restore(before, typed) {
    this.before = before;
    this.put(typed);
  }

  /** @param {Partial<Fields>} fields */
  put({ title, description, due, priority }) {
    if (title !== undefined) this.title.value = title;
    if (description !== undefined) this.note.value = description;
    if (due !== undefined) [this.date.value, this.time.value = ""] = (due ?? "").split("T");
    if (priority !== undefined) this.priority.value = priority;
  }

  /**
   * Take over what was changed elsewhere, but in the fields that were changed here: there the person chooses.
   * @param {Task} task
   * @param {boolean} gone  it is not on the list any more
   */
  follow(task, gone) {
    // What comes of the request is not changed elsewhere.
    if (this.isSending) return;
    const { typed, changes } = this;
    const now = fieldsOf(task);
    const news = differing(now, this.before);
    const names = /** @type {(keyof Fields)[]} */ (Object.keys(news));
    for (const name of names) {
      if (name in changes && now[name] !== typed[name]) this.others = { ...this.others, [name]: now[name] };
      else this.put({ [name]: now[name] });
    }
    this.before = now;
    this.others = differing(this.others, this.typed);
    if (gone === this.isGone && names.length === 0) return;
    this.isGone = gone;
    this.showMeanwhile();
  }

  showMeanwhile() {
    const others = /** @type {[keyof Fields, string | null][]} */ (Object.entries(this.others));
    const parts = this.isGone
      ? [h("p", {}, "This task is no longer on the list."), button("Add as a new task", () => void this.add()), button("Discard", this.actions.close)]
      : others.length === 0 ? []
        : [h("p", {}, `Changed elsewhere. ${others.map(([name, text]) => `${NAMES[name]}: ${shown(name, text)}`).join("; ")}`),
          button("Keep mine", () => this.choose(false)), button("Use the other", () => this.choose(true))];
    this.meanwhile.replaceChildren(...parts);
    this.buttons.hidden = parts.length > 0;
  }

  /** @param {boolean} theirs */
  choose(theirs) {
    if (theirs) this.put(this.others);
    this.others = {};
    this.showMeanwhile();
    this.save.focus();
  }

  async submit() {
    const { changes } = this;
    // What was changed elsewhere too is decided by the person first.
    if (this.isGone || Object.keys(this.others).length > 0) return this.meanwhile.querySelector("button")?.focus();
    if (!this.date.value && this.time.value) {
      this.error.textContent = "A time needs a date.";
      return;
    }
    if (Object.keys(changes).length === 0) return this.actions.close();
    await this.send(() => this.actions.save(changes));
  }

  async add() {
    if (this.element.reportValidity()) await this.send(() => this.actions.add(this.typed));
  }

  /** @param {() => Promise<string | null>} request */
  async send(request) {
    const buttons = this.element.querySelectorAll("button");
    this.isSending = true;
    for (const each of buttons) each.toggleAttribute("disabled", true);
    const why = await request();
    for (const each of buttons) each.toggleAttribute("disabled", false);
    this.isSending = false;
    this.error.textContent = why ?? "";
    if (why === null) this.actions.close();
  }
}

/**
 * @param {Task} task
 * @returns {Fields}
 */
const fieldsOf = ({ title, description, due, priority }) =>
  ({ title, description: description.replace(/\r\n?/g, "\n"), due, priority });

/**
 * Return those fields that are otherwise in another task.
 * @param {Partial<Fields>} fields
 * @param {Fields} other
 * @returns {Partial<Fields>}
 */
const differing = (fields, other) =>
  Object.fromEntries(Object.entries(fields).filter(([name, value]) => value !== other[/** @type {keyof Fields} */ (name)]));

/**
 * @param {keyof Fields} name
 * @param {string | null} text
 */
function shown(name, text) {
  if (!text) return "none";
  if (name === "due") return text.replace("T", ", ");
  return name === "priority" ? capitalized(text) : `“${text}”`;
}

/** @param {string} text */
const capitalized = (text) => text[0].toUpperCase() + text.slice(1);

/**
 * @param {string} label
 * @param {() => void} onclick
 */
const button = (label, onclick) => h("button", { type: "button", class: "button button--small", onclick }, label);

/**
 * @param {string} label
 * @param {HTMLElement} control
 */
function field(label, control) {
  return h("label", { class: "task__field" }, h("span", {}, label), control);
}
