/** The task list under manual edits: shown before the server confirms them, and in a stable order. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { applyFrame, createState } from "../../../static/js/state.js";
import { withEdits } from "../../../static/js/taskedits.js";
import { orderedRows } from "../../../static/js/tasks.js";
import { callStatus } from "../../../static/js/toolcalls.js";

const task = (number, fields = {}) => ({
  task_id: `t${number}`, number, title: `Task ${number}`, description: "", due: null, priority: "normal", is_completed: false,
  completed_at: null, updated_at: "2026-03-13T10:00:00+00:00", ...fields,
});
const done = (number, at = "2026-03-13T10:00:05.123456Z") => task(number, { is_completed: true, completed_at: at, updated_at: at });
const list = (tasks, revision = 1) => ({
  tasks, tasks_revision: revision,
  task_counts: { open: tasks.filter((each) => !each.is_completed).length, completed: tasks.filter((each) => each.is_completed).length },
});
const numbers = (tasks) => tasks.map((each) => each.number);

test("a completed task is shown as done before the server responds", () => {
  const { tasks, counts } = withEdits(list([task(1), task(2)]), new Map([["t1", { task: done(1), revision: null }]]));
  assert.deepEqual(tasks.map((each) => each.is_completed), [true, false]);
  assert.deepEqual(counts, { open: 1, completed: 1 });
});

test("a deleted task disappears at once, and a restored task is listed again", () => {
  assert.deepEqual(numbers(withEdits(list([task(1), task(2)]), new Map([["t1", { task: null, revision: null }]])).tasks), [2]);
  const back = withEdits(list([task(2)]), new Map([["t1", { task: task(1), revision: 1 }]]));
  assert.deepEqual(numbers(back.tasks), [2, 1]);
  assert.deepEqual(back.counts, { open: 2, completed: 0 });
});

test("an edit is dropped once a frame confirms it, and not before", () => {
  const edits = new Map([["t1", { task: done(1), revision: 1 }]]);
  assert.equal(withEdits(list([task(1)]), edits).tasks[0].is_completed, true);
  assert.equal(edits.size, 1);
  withEdits(list([done(1, "2026-03-13T10:00:05.123456+00:00")]), edits);
  assert.equal(edits.size, 0);
});

test("an edit that another tab has superseded is dropped", () => {
  const edits = new Map([["t1", { task: done(1), revision: 1 }], ["t2", { task: null, revision: 1 }]]);
  const state = list([task(1, { title: "Changed elsewhere" }), task(2)], 3);
  assert.equal(withEdits(state, edits).tasks, state.tasks);
});

test("rows keep their place while the order is fixed", () => {
  const tasks = [task(1, { due: "2026-03-20" }), done(2), task(3, { due: "2026-03-01" }), task(4)];
  assert.deepEqual(numbers(orderedRows(null, tasks)), [3, 1, 4]);
  assert.deepEqual(numbers(orderedRows(["t1", "t2", "t3"], tasks)), [1, 2, 3, 4]);
  assert.deepEqual(numbers(orderedRows(["t9", "t3"], tasks)), [3, 1, 4]);
});

test("tool call changes and their undo state come with the page and by frames", () => {
  const change = (call_id, undone) => ({ change_id: `x${call_id}`, call_id, undone, undoable: !undone });
  const page = { conversation_id: "c", conversation: null, conversations: [], turns: [], memory_start: null, ...list([]) };
  const state = applyFrame(createState({ ...page, changes: [change("a", false), change("b", false)] }), {
    type: "changes.updated", changes: [change("b", true), change("c", false)],
  });
  assert.deepEqual(Object.values(state.changes).map(({ call_id, undone }) => [call_id, undone]), [["a", false], ["b", true], ["c", false]]);
});

test("a call of the undo tool names the changes that it undid", () => {
  const undone = (...tasks) => ({ name: "undo", arguments: {}, output: JSON.stringify({ ok: true, undone: tasks.map((each) => ({ kind: "restored", task: each })) }) });
  assert.equal(callStatus(undone(task(1))).text, "Undid the change of task 1: Task 1");
  assert.equal(callStatus(undone(task(1), task(2))).text, "Undid the changes of 2 tasks");
});
