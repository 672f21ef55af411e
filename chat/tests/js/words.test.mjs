/** The texts of the page for times, tasks and tool calls. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { completedTasks, openTasks } from "../../../static/js/tasks.js";
import { dueLabel, isOverdue, messageTime, relativeTime, wallClock } from "../../../static/js/time.js";
import { question, taskStatus } from "../../../static/js/approval.js";
import { isAgreement, isRefusal } from "../../../static/js/decision.js";
import { callStatus, hadEffect } from "../../../static/js/toolcalls.js";
import { consequences, earlierVersionNotice, neighbours } from "../../../static/js/versions.js";

const NOW = "2026-03-13T10:00";
const INSTANT = new Date("2026-03-13T09:00:00Z");
const ZONE = "Europe/Berlin";

test("the clock uses the user's time zone", () => {
  assert.equal(wallClock(INSTANT, ZONE), NOW);
  assert.equal(wallClock(new Date("2026-03-13T23:30:00Z"), ZONE), "2026-03-14T00:30");
});

test("near days are named relative to today", () => {
  assert.equal(dueLabel("2026-03-13", NOW), "Today");
  assert.equal(dueLabel("2026-03-14", NOW), "Tomorrow");
  assert.equal(dueLabel("2026-03-12", NOW), "Yesterday");
  assert.equal(dueLabel("2026-03-16", NOW), "Monday");
  assert.match(dueLabel("2026-04-01", NOW), /1 Apr|Apr 1/);
  assert.match(dueLabel("2027-04-01", NOW), /2027/);
  assert.match(dueLabel("2026-03-13T17:05", NOW), /^Today, (17:05|5:05)/);
});

test("a task due on a day is overdue after that day", () => {
  assert.equal(isOverdue("2026-03-13", NOW), false);
  assert.equal(isOverdue("2026-03-12", NOW), true);
  assert.equal(isOverdue("2026-03-13T09:59", NOW), true);
  assert.equal(isOverdue("2026-03-13T10:01", NOW), false);
  assert.equal(isOverdue(null, NOW), false);
});

test("elapsed time is shown in a short form", () => {
  assert.equal(relativeTime("2026-03-13T08:59:40Z", INSTANT, ZONE), "now");
  assert.equal(relativeTime("2026-03-13T08:15:00Z", INSTANT, ZONE), "45 min");
  assert.equal(relativeTime("2026-03-13T05:00:00Z", INSTANT, ZONE), "4 h");
  assert.equal(relativeTime("2026-03-12T05:00:00Z", INSTANT, ZONE), "Yesterday");
  assert.match(messageTime("2026-03-12T05:00:00Z", INSTANT, ZONE), /^Yesterday, /);
});

const task = (number, due, priority = "normal", completed_at = null) => ({ number, due, priority, completed_at, is_completed: completed_at !== null });

test("tasks are ordered by due date, then by priority", () => {
  const tasks = [task(1, null), task(2, "2026-03-14"), task(3, "2026-03-14T09:00"), task(4, null, "high"), task(5, "2026-03-14", "high"), task(6, "2026-03-13", "normal", "2026-03-13T00:00:00Z")];
  assert.deepEqual(openTasks(tasks).map((one) => one.number), [3, 5, 2, 4, 1]);
  assert.deepEqual(completedTasks(tasks).map((one) => one.number), [6]);
});

const call = (name, output, fields = {}) => ({ call_id: "c", name, arguments: "{}", output: output && JSON.stringify(output), ...fields });

test("a tool call is shown as a sentence", () => {
  const milk = { ok: true, task: { number: 3, title: "Buy milk" } };
  assert.deepEqual(callStatus(call("create_task", milk)), { text: "Added task 3: Buy milk", state: "done" });
  assert.deepEqual(callStatus(call("create_task", undefined)), { text: "Adding a task…", state: "running" });
  assert.deepEqual(callStatus(call("complete_task", { ok: false })), { text: "Could not complete the task", state: "failed" });
  assert.equal(callStatus(call("list_tasks", { ok: true, tasks: [1], total: 1, status: "pending" })).text, "Found one open task");
  assert.equal(callStatus(call("list_tasks", { ok: true, tasks: [], total: 0, status: "all" })).text, "Found no tasks");
  assert.equal(callStatus(call("send_mail", { sent: true })).text, "Used send mail");
  assert.equal(callStatus(call("send_mail", undefined, { error: "down" })).state, "failed");
  assert.equal(callStatus(call("search_conversation", { ok: true, messages: [], total: 0 })).text, "Searched this conversation");
  assert.equal(callStatus(call("delete_tasks", { ok: true, tasks: [1], total: 90, more: 89, missing: [] })).text, "Deleted 90 tasks");
  assert.equal(callStatus({ call_id: "c", name: "get_task", arguments: "{}", output: "not json" }).text, "Looked at the task");
});

const deletion = (numbers, fields = {}) => ({ call_id: "c", name: "delete_tasks", arguments: { numbers }, ...fields });

test("a call that needed approval shows its outcome", () => {
  assert.deepEqual(callStatus(deletion([1, 2], { approval: "awaiting" })), { text: "Waiting for your decision: delete 2 tasks", state: "waiting" });
  assert.deepEqual(callStatus(deletion([1], { approval: "approved", by: "u" })), { text: "Deleting tasks…", state: "running" });
  const output = JSON.stringify({ ok: true, tasks: [1, 2, 3, 4, 5], missing: [] });
  assert.deepEqual(callStatus(deletion([1], { approval: "approved", by: "u", output })), { text: "Deleted 5 tasks", state: "done" });
  const refused = JSON.stringify({ ok: false, error: "declined", detail: "The person said no." });
  assert.deepEqual(callStatus(deletion([1], { approval: "declined", by: "u", output: refused })), { text: "Declined: delete one task", state: "declined" });
  assert.equal(callStatus(deletion([1], { approval: "declined", by: "superseded", output: refused })).text, "Not done: you did not decide");
  const missing = JSON.stringify({ ok: true, tasks: [1], missing: [7, 8] });
  assert.equal(callStatus(deletion([1, 7, 8], { output: missing })).text, "Deleted one task (2 not on the list)");
});

test("an approval question lists the affected tasks or arguments", () => {
  const tasks = [{ number: 1, title: "Buy milk" }, { number: 2, title: "Call Mum" }];
  assert.deepEqual(question(deletion([2, 7, 2]), tasks), {
    text: "Delete 2 tasks?", tasks: [{ number: 2, title: "Call Mum", due: null, completed: false }, { number: 7, title: null, due: null, completed: false }],
    approve: "Delete them", decline: "Keep them", danger: true,
  });
  assert.deepEqual(question(deletion([1]), tasks), {
    text: "Delete one task?", tasks: [{ number: 1, title: "Buy milk", due: null, completed: false }], approve: "Delete it", decline: "Keep it", danger: true,
  });
  const mail = { call_id: "c", name: "send_mail", arguments: { to: "Mum" } };
  assert.deepEqual(question(mail, tasks), { text: "Allow send mail?", tasks: null, arguments: mail.arguments, approve: "Allow", decline: "Decline", danger: false });
  // Malformed arguments of a model give a question, too.
  assert.equal(question(deletion([]), tasks).text, "Allow delete tasks?");
  assert.equal(question(deletion("all"), tasks).tasks, null);
});

test("each task of a question shows its state and due date", () => {
  const task = (due, completed = false) => ({ number: 1, title: "Buy milk", due, completed });
  assert.equal(taskStatus(task(null), NOW), "Open");
  assert.equal(taskStatus(task("2026-03-14"), NOW), "Open, due: Tomorrow");
  assert.equal(taskStatus(task("2026-03-12"), NOW), "Open, overdue: Yesterday");
  assert.equal(taskStatus(task("2026-03-12", true), NOW), "Completed");
});

test("only a plain agreement counts as approval", () => {
  for (const text of ["yes", "Yes, please!", "OK", "ok, do it", "approve", "Go ahead.", "sure, delete them", "👍", "That’s fine"]) {
    assert.equal(isAgreement(text), true, text);
  }
  for (const text of ["", "please", "no", "yes, but not the first", "yesterday", "ok add bread", "okra", "do it tomorrow"]) {
    assert.equal(isAgreement(text), false, text);
  }
});

test("only a plain refusal counts as decline", () => {
  for (const text of ["no", "No, thanks!", "nope", "don’t", "Keep them.", "please don't", "never mind", "👎"]) {
    assert.equal(isRefusal(text), true, text);
    assert.equal(isAgreement(text), false, text);
  }
  for (const text of ["", "please", "thanks", "yes", "no, only the first", "note: buy milk", "keep them and add bread", "cancel my gym"]) {
    assert.equal(isRefusal(text), false, text);
  }
});

test("read-only and failed calls do not count as changes", () => {
  const ok = JSON.stringify({ ok: true });
  assert.equal(hadEffect(call("create_task", { ok: true })), true);
  assert.equal(hadEffect(call("list_tasks", { ok: true })), false);
  assert.equal(hadEffect(call("search_conversation", { ok: true, messages: [] })), false);
  assert.equal(hadEffect(call("create_task", { ok: false })), false);
  assert.equal(hadEffect(call("create_task", undefined)), false);
  assert.equal(hadEffect(deletion([1], { approval: "approved", by: "u", output: ok })), true);
  assert.equal(hadEffect(deletion([1], { approval: "declined", by: "u", output: ok })), false);
});

test("an edit states what becomes an earlier version and what stays done", () => {
  assert.equal(earlierVersionNotice(0), "This becomes an earlier version.");
  assert.equal(earlierVersionNotice(1), "This and the message after it become an earlier version.");
  assert.equal(earlierVersionNotice(3), "This and the 3 messages after it become an earlier version.");
  assert.equal(consequences({ isLast: true, hadEffect: false }, 1), "");
  assert.equal(consequences({ isLast: true, hadEffect: true }, 1), "What the assistant has done since stays done.");
  assert.equal(
    consequences({ isLast: false, hadEffect: true }, 3),
    "This and the 3 messages after it become an earlier version. What the assistant has done since stays done.",
  );
});

test("versions link to their neighbours, and the newest links to the conversation", () => {
  const of = (id) => neighbours(["a", "b", "c"], id, "x");
  assert.deepEqual(of("a"), { number: 1, total: 3, earlier: null, later: "/c/x/versions/b/#turn-b" });
  assert.deepEqual(of("b"), { number: 2, total: 3, earlier: "/c/x/versions/a/#turn-a", later: "/c/x/#turn-c" });
  assert.deepEqual(of("c"), { number: 3, total: 3, earlier: "/c/x/versions/b/#turn-b", later: null });
});
