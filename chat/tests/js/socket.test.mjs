/** The websocket connection: when it reconnects after a loss, with jitter so that pages do not reconnect together. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

/** @type {FakeSocket[]} */
let sockets = [];
/** @type {{callback: () => void, delay: number, cleared: boolean}[]} */
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
  simulateMessage(frame) {
    this.listeners.get("message")({ data: JSON.stringify(frame) });
  }
  simulateClose(code) {
    this.listeners.get("close")({ code });
  }
}

const setTimer = (callback, delay) => timers.push({ callback, delay, cleared: false });
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
function openConnection() {
  const reported = { states: [], errors: [], frames: [] };
  const connection = new Connection("/ws/chat/x/", {
    onFrame: (frame) => reported.frames.push(frame),
    onState: (state) => reported.states.push(state),
    onError: (error) => reported.errors.push(error),
  });
  connection.start();
  return { connection, reported };
}

const pending = () => timers.filter((timer) => !timer.cleared);
const last = (list) => list[list.length - 1];

/** Close the newest socket; return the delay before the page opens the next one. */
function closeSocket(code = 1006) {
  const before = timers.length;
  last(sockets).simulateClose(code);
  assert.equal(timers.length, before + 1);
  return last(timers).delay;
}

/** Fire the newest timer. */
function fireTimer() {
  const timer = last(timers);
  timer.cleared = true;
  timer.callback();
}

test("reconnect delay doubles after each failure from 400 ms to at most 15 s", () => {
  openConnection();
  for (let failure = 0; failure < 40; failure += 1) {
    const max = Math.min(15_000, 400 * 2 ** failure);
    const delay = closeSocket();
    assert.ok(delay >= max / 2 && delay <= max, `failure ${failure + 1}: ${delay} of ${max}`);
    fireTimer();
    assert.equal(sockets.length, failure + 2);
  }
});

test("a thousand pages do not reconnect to a restarted server at the same time", () => {
  const delays = [];
  for (let page = 0; page < 1000; page += 1) {
    openConnection();
    delays.push(closeSocket(1012));
  }
  const slots = new Set(delays.map((delay) => Math.floor((delay - 200) / 10)));
  assert.ok(slots.size >= 19, `${slots.size} of 20 slots of 10 ms`);
  assert.ok(new Set(delays).size > 900);
});

test("reconnect delay is short again after a successful connection", () => {
  const { reported } = openConnection();
  for (let failure = 0; failure < 6; failure += 1) {
    closeSocket();
    fireTimer();
  }
  last(sockets).simulateMessage(READY);
  assert.equal(last(reported.states), "online");
  assert.ok(closeSocket() <= 400);
});

for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 4400]) {
  test(`connection reopens after close code ${code}`, () => {
    openConnection();
    last(sockets).simulateMessage(READY);
    const delay = closeSocket(code);
    assert.ok(delay >= 200 && delay <= 400);
    fireTimer();
    assert.equal(sockets.length, 2);
  });
}

test("a client closed for being too slow reconnects at once", () => {
  openConnection();
  assert.equal(closeSocket(4408), 0);
});

test("a client with too many tabs reconnects every 30 seconds", () => {
  const { reported } = openConnection();
  assert.equal(closeSocket(4429), 30_000);
  assert.deepEqual(reported.errors, ["too many"]);
  fireTimer();
  last(sockets).simulateMessage(READY);
  assert.equal(last(reported.errors), null);
});

for (const [code, error] of [[4401, "signed out"], [4404, "not found"]]) {
  test(`connection stays closed after close code ${code}`, () => {
    const { reported } = openConnection();
    last(sockets).simulateClose(code);
    assert.deepEqual(pending(), []);
    assert.deepEqual(reported.errors, [error]);
    events.get("online")();
    assert.equal(sockets.length, 1);
  });
}

test("an online network or a visible page ends the reconnect delay", () => {
  for (const type of ["online", "visibilitychange"]) {
    openConnection();
    last(sockets).simulateMessage(READY);
    closeSocket();
    const before = sockets.length;
    events.get(type)();
    assert.equal(sockets.length, before + 1);
    assert.deepEqual(pending(), [], "no timer is left");
    events.get(type)();
    assert.equal(sockets.length, before + 1, "once");
  }
});

test("a silent network loss is detected, and its socket is abandoned", () => {
  const { reported } = openConnection();
  const [socket] = sockets;
  socket.simulateMessage(READY);
  assert.equal(last(timers).delay, 20_000);
  fireTimer();
  assert.deepEqual(socket.sent, [{ type: "ping", n: 1 }]);
  assert.equal(last(timers).delay, 10_000);
  fireTimer();
  assert.equal(last(reported.states), "offline");
  fireTimer();
  assert.equal(sockets.length, 2);
  // Late events of the old socket are ignored.
  socket.simulateMessage({ type: "pong", n: 1 });
  socket.simulateClose(1006);
  assert.equal(last(reported.states), "connecting");
  assert.equal(sockets.length, 2);
});

test("a pong keeps the socket open", () => {
  openConnection();
  const [socket] = sockets;
  socket.simulateMessage(READY);
  fireTimer();
  socket.simulateMessage({ type: "pong", n: 1 });
  assert.deepEqual(pending().map((timer) => timer.delay), [20_000]);
});

test("received frames are acknowledged four times a second by the last number", () => {
  openConnection();
  const [socket] = sockets;
  socket.simulateMessage(READY);
  for (let n = 1; n <= 30; n += 1) socket.simulateMessage({ type: "text.delta", turn_id: "t1", attempt: 1, n, text: "x", at: n - 1 });
  assert.deepEqual(socket.sent, []);
  const timer = pending().find(({ delay }) => delay === 250);
  assert.ok(timer);
  timer.callback();
  assert.deepEqual(socket.sent, [{ type: "log.ack", turn_id: "t1", attempt: 1, n: 30 }]);
});
