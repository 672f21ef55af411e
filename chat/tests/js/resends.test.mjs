/** Messages that the server rejects because of the rate limit are sent again in order. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Resends } from "../../../static/js/resends.js";

const DETAIL = "That is more than 30 messages a minute; please wait 9 seconds.";

/** A page with unacknowledged messages in its outbox. */
function page(t, names) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const outbox = {
    items: names.map((name) => ({ client_id: name, held: false })),
    hold(id) {
      this.items = this.items.map((item) => (item.client_id === id ? { ...item, held: true } : item));
    },
    add(id) {
      const item = { client_id: id, held: false };
      this.items = [...this.items, item];
      return item;
    },
  };
  const sent = [];
  const resends = new Resends(outbox, { send: (item) => sent.push(item.client_id), draw: () => {} });
  const item = (name) => outbox.items.find((each) => each.client_id === name);
  return {
    outbox, sent, resends,
    refuse: (name, seconds) => resends.hold(item(name), DETAIL, seconds),
    accept: (name) => {
      outbox.items = outbox.items.filter((each) => each.client_id !== name);
      resends.go();
    },
    pass: (seconds) => { for (let tick = 0; tick < seconds; tick += 1) t.mock.timers.tick(1_000); },
    state: (name) => resends.stateOf(item(name)),
  };
}

test("each message is sent after the previous one was accepted", (t) => {
  const { sent, refuse, accept, pass } = page(t, ["a", "b", "c"]);
  for (const name of ["a", "c", "b"]) refuse(name, 9);
  pass(8);
  assert.deepEqual(sent, []);
  pass(1);
  assert.deepEqual(sent, ["a"]);
  pass(60);
  assert.deepEqual(sent, ["a"]);
  accept("a");
  assert.deepEqual(sent, ["a", "b"]);
  // The server rejects it again, as often as it likes.
  for (let times = 0; times < 5; times += 1) {
    refuse("b", 2);
    pass(2);
  }
  assert.deepEqual(sent, ["a", "b", "b", "b", "b", "b", "b"]);
  accept("b");
  assert.equal(sent.at(-1), "c");
});

test("new messages wait behind held ones", (t) => {
  const { outbox, resends, sent, refuse, accept, pass } = page(t, ["a"]);
  refuse("a", 1);
  resends.send(outbox.add("b"));
  assert.deepEqual(sent, []);
  pass(1);
  accept("a");
  accept("b");
  resends.send(outbox.add("c"));
  assert.deepEqual(sent, ["a", "b", "c"]);
});

test("a removed message does not block the next one, and a new connection sends again", (t) => {
  const { resends, sent, refuse, accept, pass } = page(t, ["a", "b"]);
  for (const name of ["a", "b"]) refuse(name, 1);
  pass(1);
  resends.connected();
  assert.deepEqual(sent, ["a", "a"]);
  accept("a");
  assert.deepEqual(sent, ["a", "a", "b"]);
});

test("the remaining time counts down", (t) => {
  const { refuse, pass, state } = page(t, ["a", "b"]);
  for (const name of ["a", "b"]) refuse(name, 3);
  assert.equal(state("a"), "That is more than 30 messages a minute. It is sent in 3 seconds.");
  assert.equal(state("b"), "Waiting…");
  pass(2);
  assert.match(state("a"), /in 1 second\.$/);
  refuse("a", 7_000);
  assert.match(state("a"), /in 2 hours\.$/);
});
