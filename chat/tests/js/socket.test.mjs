/** The websocket connection: when it reconnects after a loss, with jitter so that pages do not reconnect together. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

/** @type {FakeSocket[]} */
let sockets = [];
/** @type {{work: () => void, wait: number, cleared: boolean}[]} */
let timers = [];
/** @type {Map<string, (event: any) => void>} */
let events = new Map();

class FakeSocket {
  static OPEN = 1;
  readyState = 1;
  listeners = new Map();
  sent = [];
  constructor() {
    sockets.push(this);
  }
  addEventListener(type, listener) {
    this.listeners.set(type, listener);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {}
  gets(frame) {
    this.listeners.get("message")({ data: JSON.stringify(frame) });
  }
  ends(code) {
    this.listeners.get("close")({ code });
  }
}

const setTimer = (work, wait) => timers.push({ work, wait, cleared: false });
const clearTimer = (id) => {
  if (id) timers[id - 1].cleared = true;
};
const listen = (type, listener) => events.set(type, listener);
Object.assign(globalThis, {
  location: { protocol: "https:", host: "example.com" },
  WebSocket: FakeSocket,
  window: { setTimeout: setTimer },
  document: { addEventListener: listen, visibilityState: "visible" },
  addEventListener: listen,
  clearTimeout: clearTimer,
});
const { Connection } = await import("../../../static/js/socket.js");

const READY = { type: "ready", protocol: 1, conversation: null, turns: [] };

beforeEach(() => {
  [sockets, timers, events] = [[], [], new Map()];
});

/** Open a page's connection and record what it reports to the page. */
function opened() {
  const reported = { states: [], troubles: [], frames: [] };
  const connection = new Connection("/ws/chat/x/", {
    frame: (frame) => reported.frames.push(frame),
    state: (state) => reported.states.push(state),
    trouble: (reason) => reported.troubles.push(reason),
  });
  connection.start();
  return { connection, reported };
}

const pending = () => timers.filter((timer) => !timer.cleared);
const last = (list) => list[list.length - 1];

/** Close the newest socket; return the delay before the page opens the next one. */
function wait(code = 1006) {
  const before = timers.length;
  last(sockets).ends(code);
  assert.equal(timers.length, before + 1);
  return last(timers).wait;
}

/** Fire the newest timer. */
function elapse() {
  const timer = last(timers);
  timer.cleared = true;
  timer.work();
}

test("reconnect delay doubles after each failure from 400 ms to at most 15 s", () => {
  opened();
  for (let failure = 0; failure < 40; failure += 1) {
    const most = Math.min(15_000, 400 * 2 ** failure);
    const waited = wait();
    assert.ok(waited >= most / 2 && waited <= most, `failure ${failure + 1}: ${waited} of ${most}`);
    elapse();
    assert.equal(sockets.length, failure + 2);
  }
});

test("a thousand pages do not reconnect to a restarted server at the same time", () => {
  const waits = [];
  for (let page = 0; page < 1000; page += 1) {
    opened();
    waits.push(wait(1012));
  }
  const slots = new Set(waits.map((waited) => Math.floor((waited - 200) / 10)));
  assert.ok(slots.size >= 19, `${slots.size} of 20 slots of 10 ms`);
  assert.ok(new Set(waits).size > 900);
});

test("reconnect delay is short again after a successful connection", () => {
  const { reported } = opened();
  for (let failure = 0; failure < 6; failure += 1) {
    wait();
    elapse();
  }
  last(sockets).gets(READY);
  assert.equal(last(reported.states), "online");
  assert.ok(wait() <= 400);
});

for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 4400]) {
  test(`connection reopens after close code ${code}`, () => {
    opened();
    last(sockets).gets(READY);
    const waited = wait(code);
    assert.ok(waited >= 200 && waited <= 400);
    elapse();
    assert.equal(sockets.length, 2);
  });
}

test("a client closed for being too slow reconnects at once", () => {
  opened();
  assert.equal(wait(4408), 0);
});

test("a client with too many tabs reconnects every 30 seconds", () => {
  const { reported } = opened();
  assert.equal(wait(4429), 30_000);
  assert.deepEqual(reported.troubles, ["too many"]);
  elapse();
  last(sockets).gets(READY);
  assert.equal(last(reported.troubles), null);
});

for (const [code, reason] of [[4401, "signed out"], [4404, "not found"]]) {
  test(`connection stays closed after close code ${code}`, () => {
    const { reported } = opened();
    last(sockets).ends(code);
    assert.deepEqual(pending(), []);
    assert.deepEqual(reported.troubles, [reason]);
    events.get("online")();
    assert.equal(sockets.length, 1);
  });
}

test("an online network or a visible page ends the reconnect delay", () => {
  for (const type of ["online", "visibilitychange"]) {
    opened();
    last(sockets).gets(READY);
    wait();
    const before = sockets.length;
    events.get(type)();
    assert.equal(sockets.length, before + 1);
    assert.deepEqual(pending(), [], "the wait is over");
    events.get(type)();
    assert.equal(sockets.length, before + 1, "once");
  }
});

test("a silent network loss is detected, and its socket is abandoned", () => {
  const { reported } = opened();
  const [socket] = sockets;
  socket.gets(READY);
  assert.equal(last(timers).wait, 20_000);
  elapse();
  assert.deepEqual(socket.sent, [{ type: "ping", n: 1 }]);
  assert.equal(last(timers).wait, 10_000);
  elapse();
  assert.equal(last(reported.states), "offline");
  elapse();
  assert.equal(sockets.length, 2);
  // Late events of the old socket are ignored.
  socket.gets({ type: "pong", n: 1 });
  socket.ends(1006);
  assert.equal(last(reported.states), "connecting");
  assert.equal(sockets.length, 2);
});

test("a pong keeps the socket open", () => {
  opened();
  const [socket] = sockets;
  socket.gets(READY);
  elapse();
  socket.gets({ type: "pong", n: 1 });
  assert.deepEqual(pending().map((timer) => timer.wait), [20_000]);
});

test("received frames are acknowledged four times a second by the last number", () => {
  opened();
  const [socket] = sockets;
  socket.gets(READY);
  for (let n = 1; n <= 30; n += 1) socket.gets({ type: "text.delta", turn_id: "t1", attempt: 1, n, text: "x", at: n - 1 });
  assert.deepEqual(socket.sent, []);
  const timer = pending().find((one) => one.wait === 250);
  assert.ok(timer);
  timer.work();
  assert.deepEqual(socket.sent, [{ type: "log.ack", turn_id: "t1", attempt: 1, n: 30 }]);
});
