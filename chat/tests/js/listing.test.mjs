/** The list of chats: its entries, their order, and a page whose chat is archived, moved to the trash or deleted. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { withConversation, withPage, withoutConversation } from "../../../static/js/listing.js";
import { applyFrame, createState, withConversations } from "../../../static/js/state.js";
import { dayAndMonth } from "../../../static/js/time.js";

const conversation = (id, hour, fields = {}) => ({
  id, title: id, created_at: "2026-03-13T01:00:00Z", updated_at: `2026-03-13T${hour}:00:00Z`, pinned: false, archived: false,
  trashed: false, trash_on: null, purge_on: null, ...fields,
});
const ids = (conversations) => conversations.map(({ id }) => id);
const list = () => [conversation("b", "12"), conversation("a", "11")];
const page = (fields = {}) =>
  createState({ conversation_id: "a", conversation: list()[1], conversations: list(), turns: [], tasks: [], memory_start: null, leaving: 0, ...fields });

test("chats are ordered by last activity, below pinned chats", () => {
  assert.deepEqual(ids(withConversation(list(), conversation("c", "10"))), ["b", "a", "c"]);
  assert.deepEqual(ids(withConversation(list(), conversation("a", "13"))), ["a", "b"]);
  assert.deepEqual(ids(withConversation(list(), conversation("c", "10", { pinned: true }))), ["c", "b", "a"]);
  assert.deepEqual(ids(withConversation(withConversation(list(), conversation("a", "11", { pinned: true })), conversation("c", "12", { pinned: true }))), ["c", "a", "b"]);
});

test("archived and trashed chats leave the list, and restored chats return", () => {
  assert.deepEqual(ids(withConversation(list(), conversation("b", "12", { trashed: true }))), ["a"]);
  assert.deepEqual(ids(withConversation(list(), conversation("b", "12", { archived: true, pinned: true }))), ["a"]);
  assert.deepEqual(ids(withConversation([], conversation("b", "12"))), ["b"]);
  assert.deepEqual(ids(withoutConversation(list(), "b")), ["a"]);
});

test("a page keeps showing its chat after it is moved to the trash", () => {
  const state = applyFrame(page(), { type: "conversation.updated", conversation: conversation("a", "11", { trashed: true }) });
  assert.equal(state.conversation.trashed, true);
  assert.deepEqual(ids(state.conversations), ["b"]);
});

test("a page whose chat is deleted becomes empty and ignores frames of its turns", () => {
  const turn = { id: "t1", status: "done", attempt: 1, prompt_id: "m", prompt_text: "", prompt: null, reply: null, text: "", tools: [] };
  const before = page({ turns: [turn], memory_start: "t1" });
  const state = applyFrame(before, { type: "conversation.deleted", id: "a" });
  assert.deepEqual([state.conversation, state.turns, state.memory_start, ids(state.conversations)], [null, [], null, ["b"]]);
  const late = applyFrame(state, { type: "text.delta", turn_id: "t1", attempt: 2, n: 1, text: "late", at: 0 });
  assert.equal(late, state);
});

test("deleting another chat does not change the page", () => {
  const state = applyFrame(page(), { type: "conversation.deleted", id: "b" });
  assert.deepEqual([state.conversation.id, ids(state.conversations)], ["a", ["a"]]);
});

test("a day is named in the user's time zone", () => {
  assert.match(dayAndMonth("2026-03-31T23:30:00Z", "Europe/Berlin"), /^(1 April|April 1)$/);
});

const end = (hour, pinned = false) => ({ place: "x", pinned, updated_at: `2026-03-13T${hour}:00:00Z` });

test("a chat that sorts after the loaded part of the list is not added", () => {
  assert.deepEqual(ids(withConversation(list(), conversation("c", "10"), end("11"))), ["b", "a"]);
  assert.deepEqual(ids(withConversation(list(), conversation("c", "12"), end("11"))), ["c", "b", "a"]);
  assert.deepEqual(ids(withConversation(list(), conversation("a", "10"), end("11"))), ["b"]);
  assert.deepEqual(ids(withConversation([conversation("p", "01", { pinned: true })], conversation("c", "12"), end("01", true))), ["p"]);
});

test("the next page of the list is added once", () => {
  assert.deepEqual(ids(withPage(list(), [conversation("a", "11"), conversation("c", "10")])), ["b", "a", "c"]);
  const before = page({ conversations_after: end("11") });
  const data = { conversations: [conversation("c", "10")], conversations_after: null };
  const state = withConversations(before, data, before.conversations_after);
  assert.deepEqual([ids(state.conversations), state.conversations_after], [["b", "a", "c"], null]);
  assert.equal(withConversations(state, data, before.conversations_after), state);
});

test("chats that wait for a decision are known, including those outside the list", () => {
  const before = page({ waiting: ["z"] });
  const updated = applyFrame(before, { type: "conversation.updated", conversation: conversation("b", "12", { waiting: true, archived: true }) });
  assert.deepEqual(updated.waiting, ["z", "b"]);
  assert.deepEqual(applyFrame(updated, { type: "conversation.updated", conversation: conversation("b", "12") }).waiting, ["z"]);
  assert.deepEqual(applyFrame(updated, { type: "conversation.deleted", id: "z" }).waiting, ["b"]);
});
