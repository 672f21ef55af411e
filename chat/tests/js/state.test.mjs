/** The page's state: whatever way frames come, a page that followed ends as a page that was just loaded. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { begin, receive, refresh, written } from "../../../static/js/state.js";

const CONVERSATION = "7a6f0b1e-0000-4000-8000-000000000000";
const PROMPT = { id: "m1", role: "user", text: "Add milk", created_at: "2026-03-13T10:00:00Z", position: 1, turn_id: "t1" };
const REPLY = { id: "m2", role: "assistant", text: "Done 🎉!", created_at: "2026-03-13T10:00:01Z", position: 2, turn_id: "t1" };
const CALL = { call_id: "c1", name: "create_task", arguments: { title: "milk" } };

const nothing = () =>
  begin({ conversation_id: CONVERSATION, conversation: null, conversations: [], turns: [], tasks: [], memory_start: null });
const play = (state, ...frames) => frames.reduce(receive, state);
const accepted = (turn = "t1", message = PROMPT) => ({
  type: "message.accepted", client_id: "x", message, turn: { id: turn, status: "running", ahead: 0 },
});
const log = (n, type, fields = {}, attempt = 1) => ({ type, turn_id: "t1", attempt, n, ...fields });
const whole = [
  log(1, "turn.started"),
  log(2, "tool.started", CALL),
  log(3, "tool.finished", { call_id: "c1", output: "{}" }),
  log(4, "text.delta", { text: "Done ", at: 0 }),
  log(5, "text.delta", { text: "🎉", at: 5 }),
  log(6, "text.delta", { text: "!", at: 6 }),
];
const finished = log(7, "turn.finished", { message: REPLY, usage: {} });
const loaded = () => ({
  ...nothing(),
  turns: [
    {
      id: "t1", status: "done", attempt: 1, n: 0, prompt_id: "m1", prompt_text: "Add milk", prompt: { ...PROMPT, client_id: "x" },
      reply: REPLY, text: "", tools: [{ ...CALL, output: "{}" }], warning: null, error: null,
    },
  ],
});
const shown = (state) => ({ ...state, turns: state.turns.map((turn) => ({ ...turn, n: 0 })) });

test("a turn that was followed equals one that was loaded", () => {
  assert.deepEqual(shown(play(nothing(), accepted(), ...whole, finished)), loaded());
});

test("entries that come again change nothing", () => {
  const once = play(nothing(), accepted(), ...whole);
  assert.equal(play(once, ...whole), once);
  const ended = receive(once, finished);
  assert.equal(play(ended, ...whole, finished), ended);
});

test("no value is changed in place", () => {
  const before = play(nothing(), accepted(), ...whole);
  const frozen = JSON.stringify(before);
  play(before, finished, { type: "tasks.changed", tasks: [] });
  assert.equal(JSON.stringify(before), frozen);
});

test("offsets count code points", () => {
  assert.equal(written("a🎉b", "c", 3), "a🎉bc");
  assert.equal(written("a🎉b", "X", 2), "a🎉X");
  assert.equal(written("🧵🧵", "z", 1), "🧵z");
});

test("a piece that says again what stands there keeps what follows", () => {
  assert.equal(written("Hello world", "Hello", 0), "Hello world");
  assert.equal(written("Hello world", "Howdy", 0), "Howdy");
});

test("a page loaded in the middle catches up without losing a word on the way", () => {
  const middle = { ...loaded(), turns: [{ ...loaded().turns[0], status: "running", reply: null, text: "Done 🎉", tools: [] }] };
  let state = middle;
  for (const frame of whole) {
    state = receive(state, frame);
    assert.ok(state.turns[0].text.startsWith("Done 🎉"));
  }
  assert.deepEqual(shown(receive(state, finished)), loaded());
});

test("a later attempt writes the text anew from where it says", () => {
  let state = play(nothing(), accepted(), ...whole);
  state = receive(state, log(1, "turn.resumed", { text: "Done 🎉!", tools: [], at: 5 }, 2));
  assert.equal(state.turns[0].attempt, 2);
  state = receive(state, log(2, "text.delta", { text: "and well", at: 5 }, 2));
  assert.equal(state.turns[0].text, "Done and well");
  // What is left of the first attempt comes too late.
  assert.equal(receive(state, log(9, "text.delta", { text: "old", at: 0 }, 1)), state);
});

test("a snapshot replaces what is shown, whatever its number", () => {
  const state = play(nothing(), accepted(), ...whole);
  const pictured = receive(state, log(0, "turn.snapshot", { status: "running", text: "Do", tools: [] }));
  assert.equal(pictured.turns[0].text, "Do");
  assert.deepEqual(pictured.turns[0].tools, []);
  const ended = receive(state, log(0, "turn.snapshot", { status: "done", text: "Done", tools: [CALL], message: REPLY }));
  assert.equal(ended.turns[0].reply, REPLY);
  assert.equal(ended.stale, false);
});

test("a turn of another tab is asked for", () => {
  const state = receive(nothing(), whole[0]);
  assert.equal(state.stale, true);
  const after = refresh(state, { ...loaded(), turns: [{ ...loaded().turns[0], status: "running", reply: null, tools: [] }] }, state);
  assert.equal(after.stale, false);
  assert.equal(after.turns[0].prompt_text, "Add milk");
  assert.equal(after.turns[0].n, 1);
});

test("ready shows what ended meanwhile", () => {
  const state = play(nothing(), accepted(), ...whole);
  assert.equal(receive(state, { type: "ready", conversation: null, turns: [{ id: "t1", status: "running", n: 6 }] }), state);
  assert.equal(receive(state, { type: "ready", conversation: null, turns: [] }).stale, true);
});

test("after being away the answer of the server counts, and what came by the socket since it was asked is newer", () => {
  const asked = play(nothing(), accepted(), ...whole);
  const tasks = [{ task_id: "1", number: 1 }];
  const now = receive(asked, { type: "tasks.changed", tasks });
  assert.equal(refresh(now, loaded(), asked).tasks, tasks);
  assert.deepEqual(shown(refresh(asked, loaded(), asked)), loaded());
  const ended = receive(asked, finished);
  const older = { ...loaded(), turns: [{ ...loaded().turns[0], status: "running", reply: null }] };
  assert.equal(refresh(ended, older, asked).turns[0].status, "done");
});

test("a new chat that was away keeps its id and learns of the rest", () => {
  const here = nothing();
  const there = { ...nothing(), conversation_id: "another", tasks: [{ task_id: "1", number: 1 }] };
  const after = refresh(here, there, here);
  assert.equal(after.conversation_id, CONVERSATION);
  assert.equal(after.tasks.length, 1);
});

test("a turn that came and went before the socket was there is asked for", () => {
  const conversation = { id: CONVERSATION, title: "Milk", created_at: "", updated_at: "2026-03-13T10:00:00Z" };
  const state = { ...nothing(), conversation };
  assert.equal(receive(state, { type: "ready", conversation, turns: [] }).stale, false);
  const later = { ...conversation, updated_at: "2026-03-13T10:00:05Z" };
  assert.equal(receive(state, { type: "ready", conversation: later, turns: [] }).stale, true);
});

test("ready tells of a conversation whose first message was accepted unheard", () => {
  const conversation = { id: CONVERSATION, title: "Milk", created_at: "", updated_at: "" };
  assert.equal(receive(nothing(), { type: "ready", conversation, turns: [] }).conversation, conversation);
});

test("a failure takes the unfinished text away, as a fresh page does not know it", () => {
  const state = play(nothing(), accepted(), ...whole, log(7, "turn.failed", { code: "model", detail: "No answer.", retryable: true }));
  assert.equal(state.turns[0].text, "");
  assert.deepEqual(state.turns[0].error, { code: "model", detail: "No answer." });
});

test("a retry answers the same message without saying it again", () => {
  const failed = play(nothing(), accepted(), log(1, "turn.failed", { code: "model", detail: "No answer.", retryable: true }));
  const again = receive(failed, accepted("t2"));
  assert.equal(again.turns.length, 2);
  assert.equal(again.turns[1].prompt, null);
  assert.equal(again.turns[1].prompt_id, "m1");
});

test("a message that is accepted twice is there once", () => {
  assert.equal(play(nothing(), accepted(), accepted()).turns.length, 1);
});

test("the list of chats has the one last spoken in first", () => {
  const of = (id, updated_at) => ({ type: "conversation.updated", conversation: { id, title: id, created_at: updated_at, updated_at } });
  const state = play(nothing(), of("a", "2026-01-01T00:00:00Z"), of(CONVERSATION, "2026-01-02T00:00:00Z"), of("a", "2026-01-03T00:00:00Z"));
  assert.deepEqual(state.conversations.map((one) => one.id), ["a", CONVERSATION]);
  assert.equal(state.conversation.id, CONVERSATION);
});

test("frames nobody knows change nothing", () => {
  const state = nothing();
  assert.equal(play(state, { type: "later.invention" }, { type: "error", code: "x", detail: "y" }), state);
});
