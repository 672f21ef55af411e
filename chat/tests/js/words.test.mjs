/** What the page says about times, tasks and tool calls. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { completed, pending } from "../../../static/js/tasks.js";
import { ago, dueLabel, isOverdue, saidAt, wallClock } from "../../../static/js/time.js";
import { sentence } from "../../../static/js/toolcalls.js";

const NOW = "2026-03-13T10:00";
const INSTANT = new Date("2026-03-13T09:00:00Z");
const ZONE = "Europe/Berlin";

test("the clock is the person's own", () => {
  assert.equal(wallClock(INSTANT, ZONE), NOW);
  assert.equal(wallClock(new Date("2026-03-13T23:30:00Z"), ZONE), "2026-03-14T00:30");
});

test("days have the names people give them", () => {
  assert.equal(dueLabel("2026-03-13", NOW), "Today");
  assert.equal(dueLabel("2026-03-14", NOW), "Tomorrow");
  assert.equal(dueLabel("2026-03-12", NOW), "Yesterday");
  assert.equal(dueLabel("2026-03-16", NOW), "Monday");
  assert.match(dueLabel("2026-04-01", NOW), /1 Apr|Apr 1/);
  assert.match(dueLabel("2027-04-01", NOW), /2027/);
  assert.match(dueLabel("2026-03-13T17:05", NOW), /^Today, (17:05|5:05)/);
});

test("due on a day is overdue once the day is over", () => {
  assert.equal(isOverdue("2026-03-13", NOW), false);
  assert.equal(isOverdue("2026-03-12", NOW), true);
  assert.equal(isOverdue("2026-03-13T09:59", NOW), true);
  assert.equal(isOverdue("2026-03-13T10:01", NOW), false);
  assert.equal(isOverdue(null, NOW), false);
});

test("how long ago is said briefly", () => {
  assert.equal(ago("2026-03-13T08:59:40Z", INSTANT, ZONE), "now");
  assert.equal(ago("2026-03-13T08:15:00Z", INSTANT, ZONE), "45 min");
  assert.equal(ago("2026-03-13T05:00:00Z", INSTANT, ZONE), "4 h");
  assert.equal(ago("2026-03-12T05:00:00Z", INSTANT, ZONE), "Yesterday");
  assert.match(saidAt("2026-03-12T05:00:00Z", INSTANT, ZONE), /^Yesterday, /);
});

const task = (number, due, priority = "normal", completed_at = null) => ({ number, due, priority, completed_at, is_completed: completed_at !== null });

test("tasks stand by due date, then by priority", () => {
  const tasks = [task(1, null), task(2, "2026-03-14"), task(3, "2026-03-14T09:00"), task(4, null, "high"), task(5, "2026-03-14", "high"), task(6, "2026-03-13", "normal", "2026-03-13T00:00:00Z")];
  assert.deepEqual(pending(tasks).map((one) => one.number), [3, 5, 2, 4, 1]);
  assert.deepEqual(completed(tasks).map((one) => one.number), [6]);
});

const call = (name, output, fields = {}) => ({ call_id: "c", name, arguments: "{}", output: output && JSON.stringify(output), ...fields });

test("a tool call is a sentence", () => {
  const milk = { ok: true, task: { number: 3, title: "Buy milk" } };
  assert.deepEqual(sentence(call("create_task", milk)), { text: "Added task 3: Buy milk", state: "done" });
  assert.deepEqual(sentence(call("create_task", undefined)), { text: "Adding a task…", state: "running" });
  assert.deepEqual(sentence(call("complete_task", { ok: false })), { text: "Could not complete the task", state: "failed" });
  assert.equal(sentence(call("list_tasks", { ok: true, tasks: [1], total: 1, status: "pending" })).text, "Looked at one pending task");
  assert.equal(sentence(call("list_tasks", { ok: true, tasks: [], total: 0, status: "all" })).text, "Looked at no tasks");
  assert.equal(sentence(call("send_mail", { sent: true })).text, "Used send mail");
  assert.equal(sentence(call("send_mail", undefined, { error: "down" })).state, "failed");
  assert.equal(sentence({ call_id: "c", name: "get_task", arguments: "{}", output: "not json" }).text, "Looked at the task");
});
