// @ts-check
/** A task of the list, with a checkbox and a form unless it is read-only. */

import { h, icon } from "./dom.js";
import { dueLabel, isOverdue } from "./time.js";

/**
 * @typedef {import("./state.js").Task} Task
 * @typedef {import("./taskedits.js").TaskEdits} TaskEdits
 * @typedef {{title: string, description: string, due: string | null, priority: string}} TaskFields   those that the form edits
 * @typedef {{text: string}} Draft   outlives a reload of the page
 */

const PRIORITIES = ["low", "normal", "high"];
const LABELS = { title: "Title", description: "Note", due: "Date", priority: "Priority" };

export class TaskRow {
  /**
   * @param {TaskEdits | null} edits   null if read-only
   * @param {() => void} onClose   called when the form is closed
   * @param {Draft} [draft]   stores unsaved values
   */
  constructor(edits, onClose, draft = { text: "" }) {
    this.edits = edits;
    this.draft = draft;
    this.onClose = onClose;
    this.contentKey = "";
    this.renderedKey = "";
    /** @type {Task} */
    this.task = /** @type {any} */ (null);
    this.main = h("div", { class: "task__main" });
    this.checkbox = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", class: "task__checkbox", autocomplete: "off" }));
    // The second click of a double click would undo the first.
    this.checkbox.addEventListener("click", (event) => event.detail > 1 && event.preventDefault());
    this.checkbox.addEventListener("change", () => void this.edits?.setCompleted(this.task, this.checkbox.checked));
    this.editButton = h("button", { type: "button", class: "icon-button task__edit", title: "Edit", onclick: () => this.open() }, icon("pencil"));
    /** @type {TaskForm | null} */
    this.form = null;
    this.element = h("li", { "data-testid": "task" });
    this.element.append(...(edits ? [this.checkbox, this.main, this.editButton] : [this.main]));
  }

  /** Whether the form has unsaved changes. */
  get isDirty() {
    return this.form?.isDirty ?? false;
  }

  /**
   * @param {Task} task
   * @param {string} now
   * @param {boolean} highlight  whether to highlight a change
   * @param {boolean} isRemoved  it is only shown because of unsaved changes
   */
  show(task, now, highlight, isRemoved) {
    this.form?.merge(task, isRemoved);
    const overdue = !task.is_completed && isOverdue(task.due, now);
    const due = task.due === null ? null : dueLabel(task.due, now);
    const contentKey = JSON.stringify([task.title, task.description, task.due, task.priority, task.is_completed]);
    const key = `${contentKey} ${overdue} ${due}`;
    this.task = task;
    this.checkbox.checked = task.is_completed;
    if (key === this.renderedKey) return;
    // The passing of time, which may change the due date's text, is not highlighted.
    const isUpdated = highlight && contentKey !== this.contentKey;
    this.contentKey = contentKey;
    this.renderedKey = key;
    this.element.className = `task${overdue ? " task--overdue" : ""}${task.is_completed ? " task--done" : ""}${isUpdated ? " task--updated" : ""}`;
    this.element.dataset.number = String(task.number);
    this.element.dataset.priority = task.priority;
    const titleId = `task-${task.task_id}`;
    this.checkbox.setAttribute("aria-labelledby", titleId);
    this.editButton.setAttribute("aria-label", `Edit task ${task.number}: ${task.title}`);
    this.main.replaceChildren(
      h("p", { class: "task__title", id: titleId }, task.title),
      ...(task.description === "" ? [] : [h("p", { class: "task__description", title: task.description }, task.description)]),
      h("p", { class: "task__meta" },
        h("span", { class: "task__number" }, `#${task.number}`),
        due !== null && h("span", { class: "task__due" }, icon("clock"), overdue ? `Overdue: ${due}` : due),
        task.priority !== "normal" && h("span", { class: "task__priority" }, icon("flag"), task.priority === "high" ? "High priority" : "Low priority")));
  }

  focus() {
    this.checkbox.focus({ preventScroll: true });
  }

  open() {
    this.openForm();
    this.form?.title.focus();
  }

  /** Reopen the form if the draft has unsaved changes. */
  restore() {
    if (this.draft.text === "") return;
    const { before: original, typed: values } = JSON.parse(this.draft.text);
    this.openForm();
    this.form?.restore(original, values);
    this.form?.merge(this.task, false);
  }

  openForm() {
    const { edits, task } = this;
    if (edits === null) return;
    const form = new TaskForm(task, {
      save: (fields) => edits.update(this.task, fields),
      add: (fields) => edits.add(fields),
      remove: () => {
        this.close();
        void edits.remove(this.task);
      },
      close: () => this.close(),
    });
    this.form = form;
    form.element.addEventListener("input", () => {
      this.draft.text = form.isDirty ? JSON.stringify({ before: form.original, typed: form.values }) : "";
    });
    this.element.replaceChildren(form.element);
  }

  close() {
    const hadFocus = this.element.contains(document.activeElement);
    this.form = null;
    this.draft.text = "";
    this.element.replaceChildren(this.checkbox, this.main, this.editButton);
    if (hadFocus || document.activeElement === document.body) this.editButton.focus({ preventScroll: true });
    this.onClose();
  }
}

/** The form of a task. It keeps the user's input when the task changes elsewhere. */
class TaskForm {
  /**
   * @param {Task} task
   * @param {{save: (fields: object) => Promise<string | null>, add: (fields: object) => Promise<string | null>, remove: () => void,
   *   close: () => void}} actions
   */
  constructor(task, actions) {
    this.original = fieldsOf(task);
    /** Values from elsewhere, of fields that the user changed, too. @type {Partial<TaskFields>} */
    this.conflicts = {};
    this.isRemoved = false;
    this.isSaving = false;
    this.actions = actions;
    this.title = /** @type {HTMLInputElement} */ (h("input", { maxlength: 100, required: true }));
    this.note = /** @type {HTMLTextAreaElement} */ (h("textarea", { rows: 2, maxlength: 1000 }));
    this.date = /** @type {HTMLInputElement} */ (h("input", { type: "date", max: "9999-12-31" }));
    this.time = /** @type {HTMLInputElement} */ (h("input", { type: "time" }));
    this.priority = /** @type {HTMLSelectElement} */ (h("select", {}, ...PRIORITIES.map((name) => h("option", { value: name }, capitalize(name)))));
    this.setValues(this.original);
    this.error = h("p", { class: "task__error", role: "alert" });
    this.conflictNotice = h("div", { class: "task__conflict", role: "alert" });
    this.save = h("button", { class: "button button--small button--primary" }, "Save");
    this.buttons = h("div", { class: "task__buttons" }, this.save, button("Cancel", actions.close), button("Delete", actions.remove));
    this.element = h("form", { class: "task__form", autocomplete: "off", "aria-label": `Edit task ${task.number}` },
      field("Title", this.title), field("Note", this.note),
      h("div", { class: "task__due-inputs" }, field("Date", this.date), field("Time", this.time)),
      field("Priority", this.priority), this.error, this.conflictNotice, this.buttons);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    // Escape closes the form, not the drawer around it.
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      actions.close();
    });
  }

  /** @returns {TaskFields} */
  get values() {
    const due = this.date.value ? this.date.value + (this.time.value && `T${this.time.value}`) : null;
    return { title: this.title.value, description: this.note.value, due, priority: this.priority.value };
  }

  /** The fields that the user changed. @returns {Partial<TaskFields>} */
  get changes() {
    return changedFields(this.values, this.original);
  }

  get isDirty() {
    return Object.keys(this.changes).length > 0 || (this.date.value === "" && this.time.value !== "");
  }

  /**
   * @param {TaskFields} original   the task when the user began to edit it
   * @param {TaskFields} values
   */
  restore(original, values) {
    this.original = original;
    this.setValues(values);
  }

  /** @param {Partial<TaskFields>} fields */
  setValues({ title, description, due, priority }) {
    if (title !== undefined) this.title.value = title;
    if (description !== undefined) this.note.value = description;
    if (due !== undefined) [this.date.value, this.time.value = ""] = (due ?? "").split("T");
    if (priority !== undefined) this.priority.value = priority;
  }

  /**
   * Apply changes from elsewhere, except to fields that the user changed: these are conflicts.
   * @param {Task} task
   * @param {boolean} isRemoved  it is not on the list any more
   */
  merge(task, isRemoved) {
    // A change during the request comes from the request itself.
    if (this.isSaving) return;
    const { values, changes } = this;
    const current = fieldsOf(task);
    const updates = changedFields(current, this.original);
    const names = /** @type {(keyof TaskFields)[]} */ (Object.keys(updates));
    for (const name of names) {
      if (name in changes && current[name] !== values[name]) this.conflicts = { ...this.conflicts, [name]: current[name] };
      else this.setValues({ [name]: current[name] });
    }
    this.original = current;
    this.conflicts = changedFields(this.conflicts, this.values);
    if (isRemoved === this.isRemoved && names.length === 0) return;
    this.isRemoved = isRemoved;
    this.showConflicts();
  }

  showConflicts() {
    const conflicts = /** @type {[keyof TaskFields, string | null][]} */ (Object.entries(this.conflicts));
    const parts = this.isRemoved
      ? [h("p", {}, "This task is no longer on the list."), button("Add as a new task", () => void this.add()), button("Discard", this.actions.close)]
      : conflicts.length === 0 ? []
        : [h("p", {}, `Changed elsewhere. ${conflicts.map(([name, text]) => `${LABELS[name]}: ${displayValue(name, text)}`).join("; ")}`),
          button("Keep mine", () => this.resolveConflicts(false)), button("Use the other", () => this.resolveConflicts(true))];
    this.conflictNotice.replaceChildren(...parts);
    this.buttons.hidden = parts.length > 0;
  }

  /** @param {boolean} useOther */
  resolveConflicts(useOther) {
    if (useOther) this.setValues(this.conflicts);
    this.conflicts = {};
    this.showConflicts();
    this.save.focus();
  }

  async submit() {
    const { changes } = this;
    // The user resolves conflicts first.
    if (this.isRemoved || Object.keys(this.conflicts).length > 0) return this.conflictNotice.querySelector("button")?.focus();
    if (!this.date.value && this.time.value) {
      this.error.textContent = "A time needs a date.";
      return;
    }
    if (Object.keys(changes).length === 0) return this.actions.close();
    await this.send(() => this.actions.save(changes));
  }

  async add() {
    if (this.element.reportValidity()) await this.send(() => this.actions.add(this.values));
  }

  /** @param {() => Promise<string | null>} request */
  async send(request) {
    const buttons = this.element.querySelectorAll("button");
    this.isSaving = true;
    for (const each of buttons) each.toggleAttribute("disabled", true);
    const error = await request();
    for (const each of buttons) each.toggleAttribute("disabled", false);
    this.isSaving = false;
    this.error.textContent = error ?? "";
    if (error === null) this.actions.close();
  }
}

/**
 * @param {Task} task
 * @returns {TaskFields}
 */
const fieldsOf = ({ title, description, due, priority }) =>
  ({ title, description: description.replace(/\r\n?/g, "\n"), due, priority });

/**
 * Return the fields that have another value in another task.
 * @param {Partial<TaskFields>} fields
 * @param {TaskFields} other
 * @returns {Partial<TaskFields>}
 */
const changedFields = (fields, other) =>
  Object.fromEntries(Object.entries(fields).filter(([name, value]) => value !== other[/** @type {keyof TaskFields} */ (name)]));

/**
 * @param {keyof TaskFields} name
 * @param {string | null} text
 */
function displayValue(name, text) {
  if (!text) return "none";
  if (name === "due") return text.replace("T", ", ");
  return name === "priority" ? capitalize(text) : `“${text}”`;
}

/** @param {string} text */
const capitalize = (text) => text[0].toUpperCase() + text.slice(1);

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
