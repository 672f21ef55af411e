/** Messages that the server rejects because of the rate limit are sent again in order. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ResendQueue } from "../../../static/js/resends.js";

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
  const resends = new ResendQueue(outbox, { send: (item) => sent.push(item.client_id), render: () => {} });
  const item = (name) => outbox.items.find((each) => each.client_id === name);
  return {
    outbox, sent, resends,
    reject: (name, seconds) => resends.hold(item(name), DETAIL, seconds),
    accept: (name) => {
      outbox.items = outbox.items.filter((each) => each.client_id !== name);
      resends.sendNext();
    },
    advance: (seconds) => { for (let tick = 0; tick < seconds; tick += 1) t.mock.timers.tick(1_000); },
    status: (name) => resends.statusOf(item(name)),
  };
}

test("each message is sent after the previous one was accepted", (t) => {
  const { sent, reject, accept, advance } = page(t, ["a", "b", "c"]);
  for (const name of ["a", "c", "b"]) reject(name, 9);
  advance(8);
  assert.deepEqual(sent, []);
  advance(1);
  assert.deepEqual(sent, ["a"]);
  advance(60);
  assert.deepEqual(sent, ["a"]);
  accept("a");
  assert.deepEqual(sent, ["a", "b"]);
  // The server rejects it again, several times.
  for (let times = 0; times < 5; times += 1) {
    reject("b", 2);
    advance(2);
  }
  assert.deepEqual(sent, ["a", "b", "b", "b", "b", "b", "b"]);
  accept("b");
  assert.equal(sent.at(-1), "c");
});

test("new messages wait behind held ones", (t) => {
  const { outbox, resends, sent, reject, accept, advance } = page(t, ["a"]);
  reject("a", 1);
  resends.send(outbox.add("b"));
  assert.deepEqual(sent, []);
  advance(1);
  accept("a");
  accept("b");
  resends.send(outbox.add("c"));
  assert.deepEqual(sent, ["a", "b", "c"]);
});

test("a removed message does not block the next one, and a new connection sends again", (t) => {
  const { resends, sent, reject, accept, advance } = page(t, ["a", "b"]);
  for (const name of ["a", "b"]) reject(name, 1);
  advance(1);
  resends.reconnected();
  assert.deepEqual(sent, ["a", "a"]);
  accept("a");
  assert.deepEqual(sent, ["a", "a", "b"]);
});

test("the remaining time counts down", (t) => {
  const { reject, advance, status } = page(t, ["a", "b"]);
  for (const name of ["a", "b"]) reject(name, 3);
  assert.equal(status("a"), "That is more than 30 messages a minute. It is sent in 3 seconds.");
  assert.equal(status("b"), "Waiting…");
  advance(2);
  assert.match(status("a"), /in 1 second\.$/);
  reject("a", 7_000);
  assert.match(status("a"), /in 2 hours\.$/);
});
