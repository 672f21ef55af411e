/** The page's state: in whatever order frames arrive, a followed page ends with the state of a freshly loaded page. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { applyFrame, createState, finishRefresh, startRefresh, withEarlierTurns } from "../../../static/js/state.js";
import { applyDelta } from "../../../static/js/turn.js";

const CONVERSATION = "7a6f0b1e-0000-4000-8000-000000000000";
const PROMPT = { id: "m1", role: "user", text: "Add milk", created_at: "2026-03-13T10:00:00Z", position: 1, turn_id: "t1" };
const REPLY = { id: "m2", role: "assistant", text: "Done 🎉!", created_at: "2026-03-13T10:00:01Z", position: 2, turn_id: "t1" };
const CALL = { call_id: "c1", name: "create_task", arguments: { title: "milk" } };

const list = (revision = 0, tasks = []) => ({ tasks, tasks_revision: revision, task_counts: { open: tasks.length, completed: 0 } });
const emptyState = () =>
  createState({ conversation_id: CONVERSATION, conversation: null, conversations: [], turns: [], memory_start: null, ...list() });
const applyFrames = (state, ...frames) => frames.reduce(applyFrame, state);
const accepted = (turn = "t1", message = PROMPT, replaces = null) => ({
  type: "message.accepted", client_id: "x", message, turn: { id: turn, status: "running", ahead: 0, replaces },
});
const tasksChanged = (since, revision, tasks = [], removed = []) => ({
  type: "tasks.changed", since, revision, tasks, removed, counts: { open: tasks.length, completed: 0 }, reload: false,
});
const entry = (n, type, fields = {}, attempt = 1, turn_id = "t1") => ({ type, turn_id, attempt, n, ...fields });
const entries = [
  entry(1, "turn.started"),
  entry(2, "tool.started", CALL),
  entry(3, "tool.finished", { call_id: "c1", output: "{}" }),
  entry(4, "text.delta", { text: "Done ", at: 0 }),
  entry(5, "text.delta", { text: "🎉", at: 5 }),
  entry(6, "text.delta", { text: "!", at: 6 }),
];
const finished = entry(7, "turn.finished", { message: REPLY, usage: {} });
const loaded = () => ({
  ...emptyState(),
  turns: [
    {
      id: "t1", status: "done", attempt: 1, n: 0, prompt_id: "m1", prompt_text: "Add milk", prompt: { ...PROMPT, client_id: "x" },
      reply: REPLY, text: "", reasoning: "", tools: [{ ...CALL, output: "{}" }], warning: null, error: null, replaces: null, versions: ["t1"],
      kept: [],
    },
  ],
});
// Three turns, each with a reply.
const prompt = (n) => ({ ...PROMPT, id: `m${n}`, text: `message ${n}`, turn_id: `t${n}` });
const threeTurns = () =>
  applyFrames(emptyState(), ...[1, 2, 3].flatMap((n) => [
    accepted(`t${n}`, prompt(n)),
    entry(1, "turn.finished", { message: { ...REPLY, id: `r${n}`, turn_id: `t${n}` } }, 1, `t${n}`),
  ]));
const ids = (state) => state.turns.map((turn) => turn.id);
const shown = (state) => ({ ...state, turns: state.turns.map((turn) => ({ ...turn, n: 0 })) });

test("a followed turn equals a loaded turn", () => {
  assert.deepEqual(shown(applyFrames(emptyState(), accepted(), ...entries, finished)), loaded());
});

test("messages sent at the same time are ordered by position", () => {
  const first = accepted("t1", { ...prompt(1), position: 1 });
  const second = accepted("t2", { ...prompt(2), position: 2 });
  assert.deepEqual(ids(applyFrames(emptyState(), second, first)), ["t1", "t2"]);
  assert.deepEqual(ids(applyFrames(emptyState(), first, second)), ["t1", "t2"]);
});

test("repeated log entries change nothing", () => {
  const once = applyFrames(emptyState(), accepted(), ...entries);
  assert.equal(applyFrames(once, ...entries), once);
  const ended = applyFrame(once, finished);
  assert.equal(applyFrames(ended, ...entries, finished), ended);
});

test("frames do not mutate the state", () => {
  const before = applyFrames(emptyState(), accepted(), ...entries);
  const frozen = JSON.stringify(before);
  applyFrames(before, finished, tasksChanged(0, 1));
  assert.equal(JSON.stringify(before), frozen);
});

test("text offsets count code points", () => {
  assert.equal(applyDelta("a🎉b", "c", 3), "a🎉bc");
  assert.equal(applyDelta("a🎉b", "X", 2), "a🎉X");
  assert.equal(applyDelta("🧵🧵", "z", 1), "🧵z");
});

test("a repeated delta keeps the text after it, and a different one replaces it", () => {
  assert.equal(applyDelta("Hello world", "Hello", 0), "Hello world");
  assert.equal(applyDelta("Hello world", "Howdy", 0), "Howdy");
});

test("a page loaded during a turn catches up without losing text", () => {
  const middle = { ...loaded(), turns: [{ ...loaded().turns[0], status: "running", reply: null, text: "Done 🎉", tools: [] }] };
  let state = middle;
  for (const frame of entries) {
    state = applyFrame(state, frame);
    assert.ok(state.turns[0].text.startsWith("Done 🎉"));
  }
  assert.deepEqual(shown(applyFrame(state, finished)), loaded());
});

test("a later attempt overwrites the text from its offset", () => {
  let state = applyFrames(emptyState(), accepted(), ...entries);
  state = applyFrame(state, entry(1, "turn.resumed", { text: "Done 🎉!", tools: [], at: 5 }, 2));
  assert.equal(state.turns[0].attempt, 2);
  state = applyFrame(state, entry(2, "text.delta", { text: "and well", at: 5 }, 2));
  assert.equal(state.turns[0].text, "Done and well");
  // Late entries of the first attempt are ignored.
  assert.equal(applyFrame(state, entry(9, "text.delta", { text: "old", at: 0 }, 1)), state);
});

test("reasoning grows separately from the text, and a resumed turn or a snapshot replaces it", () => {
  const before = applyFrames(emptyState(), accepted(), entry(1, "reasoning.delta", { text: "🎉 Hm", at: 0 }), entry(2, "reasoning.delta", { text: ".", at: 4 }));
  const thought = (/** @type {any[]} */ ...frames) => applyFrames(before, ...frames).turns[0].reasoning;
  assert.deepEqual([thought(), before.turns[0].text], ["🎉 Hm.", ""]);
  assert.equal(thought(entry(3, "turn.resumed", { text: "", tools: [], at: 0, reasoning: "Yes" })), "Yes");
  assert.equal(thought(entry(3, "turn.resumed", { text: "", tools: [], at: 0 })), "");
  assert.equal(thought(entry(3, "turn.snapshot", { status: "done", text: "", tools: [], message: REPLY, reasoning: "Yes" })), "Yes");
  assert.equal(thought(finished), "🎉 Hm.");
});

test("the end of a turn and a snapshot show the warning of a turn that was not followed from its start", () => {
  const warning = { code: "context_unavailable", detail: "The assistant could not read the earlier messages." };
  for (const frame of [
    entry(1, "turn.finished", { message: REPLY, warning }),
    entry(1, "turn.stopped", { message: null, warning }),
    entry(0, "turn.snapshot", { status: "running", text: "Do", tools: [], warning }),
  ]) {
    assert.deepEqual(applyFrames(emptyState(), accepted(), frame).turns[0].warning, warning, frame.type);
  }
  const warned = applyFrames(emptyState(), accepted(), entry(1, "warning", warning));
  assert.equal(applyFrame(warned, entry(2, "turn.finished", { message: REPLY }, 2)).turns[0].warning, null, "another attempt");
});

test("a snapshot replaces the shown turn, whatever its number", () => {
  const state = applyFrames(emptyState(), accepted(), ...entries);
  const withSnapshot = applyFrame(state, entry(0, "turn.snapshot", { status: "running", text: "Do", tools: [] }));
  assert.equal(withSnapshot.turns[0].text, "Do");
  assert.deepEqual(withSnapshot.turns[0].tools, []);
  const ended = applyFrame(state, entry(0, "turn.snapshot", { status: "done", text: "Done", tools: [CALL], message: REPLY }));
  assert.equal(ended.turns[0].reply, REPLY);
  assert.equal(ended.stale, false);
});

test("an unknown turn of another tab makes the state stale", () => {
  assert.equal(applyFrame(emptyState(), entries[0]).stale, true);
  const state = startRefresh(applyFrame(emptyState(), entries[0]));
  const after = finishRefresh(state, { ...loaded(), turns: [{ ...loaded().turns[0], status: "running", reply: null, tools: [] }] }, state);
  assert.equal(after.stale, false);
  assert.equal(after.turns[0].prompt_text, "Add milk");
  assert.equal(after.turns[0].n, 1);
});

test("a ready frame without a running turn makes the state stale", () => {
  const state = applyFrames(emptyState(), accepted(), ...entries);
  assert.equal(applyFrame(state, { type: "ready", conversation: null, turns: [{ id: "t1", status: "running", n: 6 }] }), state);
  assert.equal(applyFrame(state, { type: "ready", conversation: null, turns: [] }).stale, true);
});

test("a refresh replaces the state, except for frames that came after the request", () => {
  const requested = startRefresh(applyFrames(emptyState(), accepted(), ...entries));
  const tasks = [{ task_id: "1", number: 1 }];
  const now = applyFrame(requested, tasksChanged(0, 1, tasks));
  assert.deepEqual(finishRefresh(now, loaded(), requested).tasks, tasks);
  assert.deepEqual(finishRefresh(now, { ...loaded(), ...list(2) }, requested).tasks, []);
  assert.deepEqual(shown(finishRefresh(requested, loaded(), requested)), loaded());
  const ended = applyFrame(requested, finished);
  const older = { ...loaded(), turns: [{ ...loaded().turns[0], status: "running", reply: null }] };
  assert.equal(finishRefresh(ended, older, requested).turns[0].status, "done");
});

test("task changes are applied in order and once, and a gap makes the state stale", () => {
  const task = (id, title) => ({ task_id: id, title });
  const one = applyFrame(emptyState(), tasksChanged(0, 2, [task("a", "Milk"), task("b", "Bread")]));
  const two = applyFrame(one, tasksChanged(2, 3, [task("b", "Butter")], ["a"]));
  assert.deepEqual(two.tasks, [task("b", "Butter")]);
  assert.equal(applyFrame(two, tasksChanged(0, 2, [task("a", "Milk")])), two);
  assert.deepEqual(applyFrame(two, tasksChanged(1, 4, [task("c", "Eggs")])).tasks.length, 2);
  assert.equal(applyFrame(two, tasksChanged(4, 5, [task("c", "Eggs")])).stale, true);
  assert.equal(applyFrame(two, { ...tasksChanged(3, 600), reload: true }).stale, true);
  assert.equal(applyFrame(emptyState(), { type: "ready", conversation: null, turns: [], tasks_revision: 1 }).stale, true);
});

test("a refresh of a new chat keeps its id and takes the rest", () => {
  const local = emptyState();
  const fetched = { ...emptyState(), conversation_id: "another", ...list(1, [{ task_id: "1", number: 1 }]) };
  const after = finishRefresh(local, fetched, local);
  assert.equal(after.conversation_id, CONVERSATION);
  assert.equal(after.tasks.length, 1);
});

test("a turn that ended before the socket opened makes the state stale", () => {
  const conversation = { id: CONVERSATION, title: "Milk", created_at: "", updated_at: "2026-03-13T10:00:00Z" };
  const state = { ...emptyState(), conversation };
  assert.equal(applyFrame(state, { type: "ready", conversation, turns: [] }).stale, false);
  const later = { ...conversation, updated_at: "2026-03-13T10:00:05Z" };
  assert.equal(applyFrame(state, { type: "ready", conversation: later, turns: [] }).stale, true);
});

test("a ready frame adds a conversation whose acceptance the page missed", () => {
  const conversation = { id: CONVERSATION, title: "Milk", created_at: "", updated_at: "" };
  assert.equal(applyFrame(emptyState(), { type: "ready", conversation, turns: [] }).conversation, conversation);
});

test("a failure removes the unfinished text, which a fresh page does not have", () => {
  const state = applyFrames(emptyState(), accepted(), ...entries, entry(7, "turn.failed", { code: "model", detail: "No answer.", retryable: true }));
  assert.equal(state.turns[0].text, "");
  assert.deepEqual(state.turns[0].error, { code: "model", detail: "No answer." });
});

test("a retry replaces the failed turn and keeps its message", () => {
  const failed = applyFrames(emptyState(), accepted(), entry(1, "turn.failed", { code: "model", detail: "No answer.", retryable: true }));
  const again = applyFrame(failed, accepted("t2", PROMPT, "t1"));
  assert.deepEqual(ids(again), ["t2"]);
  assert.equal(again.turns[0].prompt, PROMPT);
  assert.equal(again.turns[0].replaces, "t1");
  // Only the server knows the versions and what stays done.
  assert.equal(again.stale, true);
});

test("an edited message replaces the turns after it", () => {
  const edited = applyFrame(threeTurns(), accepted("t4", prompt(4), "t2"));
  assert.deepEqual(ids(edited), ["t1", "t4"]);
  assert.deepEqual([edited.turns[1].prompt_text, edited.turns[1].prompt.client_id], ["message 4", "x"]);
  assert.deepEqual(ids(applyFrame(edited, accepted("t4", prompt(4), "t2"))), ["t1", "t4"]);
});

test("late frames of a replaced turn are ignored", () => {
  const edited = applyFrame(threeTurns(), accepted("t4", prompt(4), "t2"));
  for (const id of ["t2", "t3"]) {
    assert.equal(applyFrame(edited, entry(9, "turn.stopped", { message: null }, 2, id)), edited);
    assert.equal(applyFrame(edited, accepted(id, prompt(2), "t1")), edited);
  }
  const loaded = { ...emptyState(), turns: [{ ...threeTurns().turns[0], id: "t7", versions: ["t5", "t7"] }] };
  assert.equal(applyFrame(loaded, entry(1, "turn.started", {}, 1, "t5")), loaded);
});

test("a refresh sets the versions and kept calls of a running turn", () => {
  const edited = startRefresh(applyFrames(threeTurns(), accepted("t4", prompt(4), "t2"), entry(1, "text.delta", { text: "Well", at: 0 }, 1, "t4")));
  const fetched = { ...edited.turns[1], text: "", versions: ["t2", "t4"], replaces: "t2", kept: [CALL] };
  const after = finishRefresh(edited, { ...emptyState(), conversation: {}, turns: [edited.turns[0], fetched] }, edited);
  assert.deepEqual(after.turns[1].versions, ["t2", "t4"]);
  assert.deepEqual(after.turns[1].kept, [CALL]);
  assert.equal(after.turns[1].text, "Well");
  assert.equal(after.stale, false);
});

test("a turn that another tab replaced is removed by the next refresh", () => {
  const local = startRefresh(threeTurns());
  const data = { ...emptyState(), conversation: {}, turns: [local.turns[0], { ...local.turns[1], id: "t4", versions: ["t2", "t4"] }] };
  const after = finishRefresh(local, data, local);
  assert.deepEqual(ids(after), ["t1", "t4"]);
  assert.equal(applyFrame(after, entry(9, "turn.started", {}, 2, "t3")), after);
});

test("a refresh requested before a turn was replaced restores nothing and stays stale", () => {
  const requested = startRefresh(threeTurns());
  const data = { ...emptyState(), conversation: {}, turns: requested.turns };
  const after = finishRefresh(applyFrame(requested, accepted("t4", prompt(4), "t2")), data, requested);
  assert.deepEqual(ids(after), ["t1", "t4"]);
  assert.equal(after.stale, true);
});

test("a message accepted during a refresh stays", () => {
  const requested = startRefresh(threeTurns());
  const data = { ...emptyState(), conversation: {}, turns: requested.turns };
  assert.deepEqual(ids(finishRefresh(applyFrame(requested, accepted("t4", prompt(4))), data, requested)), ["t1", "t2", "t3", "t4"]);
});

const DELETE = { call_id: "c2", name: "delete_tasks", arguments: { numbers: [1, 2] } };
const waiting = () => applyFrames(emptyState(), accepted(), entry(1, "turn.started"), entry(2, "approval.requested", DELETE));

test("a turn waits for a decision and continues after it", () => {
  assert.equal(waiting().turns[0].status, "waiting");
  assert.deepEqual(waiting().turns[0].tools, [{ ...DELETE, approval: "awaiting" }]);
  const approved = applyFrame(waiting(), entry(1, "approval.decided", { call_id: "c2", approved: true, by: "u1" }, 2));
  assert.equal(approved.turns[0].status, "running");
  const tool = { ...DELETE, approval: "approved", by: "u1" };
  assert.deepEqual(approved.turns[0].tools, [tool]);
  const done = applyFrames(approved,
    entry(2, "turn.resumed", { text: "", tools: [tool], at: 0 }, 2),
    entry(3, "tool.started", DELETE, 2),
    entry(4, "tool.finished", { call_id: "c2", output: "{}" }, 2));
  assert.deepEqual(done.turns[0].tools, [{ ...tool, output: "{}" }]);
  assert.equal(done.turns[0].attempt, 2);
});

test("a turn waits until all calls are decided", () => {
  const both = applyFrame(waiting(), entry(3, "approval.requested", { ...DELETE, call_id: "c3" }));
  const one = applyFrame(both, entry(4, "approval.decided", { call_id: "c2", approved: false, by: "u1" }));
  assert.equal(one.turns[0].status, "waiting");
  assert.deepEqual(one.turns[0].tools.map((call) => call.approval), ["declined", "awaiting"]);
  assert.equal(applyFrame(one, entry(5, "approval.decided", { call_id: "c3", approved: true, by: "u1" })).turns[0].status, "running");
});

test("a new message instead of a decision declines the call", () => {
  const state = applyFrames(waiting(),
    entry(3, "approval.decided", { call_id: "c2", approved: false, by: "superseded" }), entry(4, "turn.stopped", { message: null }));
  assert.equal(state.turns[0].status, "stopped");
  assert.deepEqual(state.turns[0].tools, [{ ...DELETE, approval: "declined", by: "superseded" }]);
  // Only the server knows what the assistant received.
  assert.equal(state.stale, true);
});

test("a message accepted twice is shown once", () => {
  assert.equal(applyFrames(emptyState(), accepted(), accepted()).turns.length, 1);
});

test("the chat with the latest activity is first in the list", () => {
  const of = (id, updated_at) => ({ type: "conversation.updated", conversation: { id, title: id, created_at: updated_at, updated_at } });
  const state = applyFrames(emptyState(), of("a", "2026-01-01T00:00:00Z"), of(CONVERSATION, "2026-01-02T00:00:00Z"), of("a", "2026-01-03T00:00:00Z"));
  assert.deepEqual(state.conversations.map((one) => one.id), ["a", CONVERSATION]);
  assert.equal(state.conversation.id, CONVERSATION);
});

test("unknown frames change nothing", () => {
  const state = emptyState();
  assert.equal(applyFrames(state, { type: "later.invention" }, { type: "error", code: "x", detail: "y" }), state);
});

test("a model retry is shown until the turn produces output or fails", () => {
  const retry = (n, k) => entry(n, "model.retrying", { attempt_n: k, of: 5, seconds: 1, detail: `Retrying, ${k} of 5.` });
  const state = applyFrames(emptyState(), accepted(), entry(1, "turn.started"), retry(2, 1));
  assert.equal(state.turns[0].retrying, "Retrying, 1 of 5.");
  const again = applyFrames(state, entry(3, "turn.resumed", { text: "", tools: [], at: 0 }), retry(4, 2));
  assert.equal(again.turns[0].retrying, "Retrying, 2 of 5.");
  const resumed = applyFrames(again, entry(5, "text.delta", { text: "Done", at: 0 }));
  assert.equal("retrying" in resumed.turns[0], false);
  assert.equal("retrying" in applyFrames(again, entry(5, "turn.failed", { code: "x", detail: "y" })).turns[0], false);
});

const data = (id) => ({ ...threeTurns().turns[0], id, prompt_id: id, versions: [id] });

test("earlier turns are inserted before the loaded turns once", () => {
  const before = { ...threeTurns(), earlier: "t1" };
  const state = withEarlierTurns(before, { turns: [data("s1"), data("s2"), data("t1")], earlier: "s1" }, "t1");
  assert.deepEqual([ids(state), state.earlier], [["s1", "s2", "t1", "t2", "t3"], "s1"]);
  assert.equal(withEarlierTurns(state, { turns: [data("r1")], earlier: null }, "t1"), state);
});

test("a refresh requested before earlier turns were loaded stays stale", () => {
  const requested = startRefresh({ ...threeTurns(), earlier: "t1" });
  const loaded = withEarlierTurns(requested, { turns: [data("s1")], earlier: null }, "t1");
  const after = finishRefresh(loaded, { ...emptyState(), conversation: {}, turns: requested.turns, earlier: "t1" }, requested);
  assert.deepEqual([ids(after), after.earlier, after.stale], [["s1", "t1", "t2", "t3"], null, true]);
});

test("an edit of a message before the loaded turns replaces all of them on refresh", () => {
  const before = { ...threeTurns(), earlier: "t1" };
  const state = applyFrame(before, accepted("t4", prompt(4), "s1"));
  assert.equal(state.stale, true);
  const requested = startRefresh(state);
  const response = { ...emptyState(), conversation: {}, turns: [data("r1"), { ...data("t4"), status: "running" }], earlier: "r1" };
  assert.deepEqual(ids(finishRefresh(requested, response, requested)), ["r1", "t4"]);
});
