/** The connection: when it comes back after it was lost, and that not everybody does so in step. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

/** @type {FakeSocket[]} */
let sockets = [];
/** @type {{work: () => void, wait: number, cleared: boolean}[]} */
let timers = [];
/** @type {Map<string, (event: any) => void>} */
let heard = new Map();

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
const listen = (type, listener) => heard.set(type, listener);
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
  [sockets, timers, heard] = [[], [], new Map()];
});

/** Open a page's connection; what it tells the page is kept. */
function opened() {
  const told = { states: [], troubles: [], frames: [] };
  const connection = new Connection("/ws/chat/x/", {
    frame: (frame) => told.frames.push(frame),
    state: (state) => told.states.push(state),
    trouble: (why) => told.troubles.push(why),
  });
  connection.start();
  return { connection, told };
}

const pending = () => timers.filter((timer) => !timer.cleared);
const last = (list) => list[list.length - 1];

/** Lose the newest socket; return how long the page waits before it opens the next one. */
function wait(code = 1006) {
  const before = timers.length;
  last(sockets).ends(code);
  assert.equal(timers.length, before + 1);
  return last(timers).wait;
}

/** Let the newest timer run out. */
function elapse() {
  const timer = last(timers);
  timer.cleared = true;
  timer.work();
}

test("it waits longer after each failure, from under half a second to 15, and never for ever", () => {
  opened();
  for (let failure = 0; failure < 40; failure += 1) {
    const most = Math.min(15_000, 400 * 2 ** failure);
    const waited = wait();
    assert.ok(waited >= most / 2 && waited <= most, `failure ${failure + 1}: ${waited} of ${most}`);
    elapse();
    assert.equal(sockets.length, failure + 2);
  }
});

test("a thousand pages that lose the same server do not come back in step", () => {
  const waits = [];
  for (let page = 0; page < 1000; page += 1) {
    opened();
    waits.push(wait(1012));
  }
  const slots = new Set(waits.map((waited) => Math.floor((waited - 200) / 10)));
  assert.ok(slots.size >= 19, `${slots.size} of 20 slots of 10 ms`);
  assert.ok(new Set(waits).size > 900);
});

test("who was connected begins again with a short wait", () => {
  const { told } = opened();
  for (let failure = 0; failure < 6; failure += 1) {
    wait();
    elapse();
  }
  last(sockets).gets(READY);
  assert.equal(last(told.states), "online");
  assert.ok(wait() <= 400);
});

for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 4400]) {
  test(`it comes back after ${code}`, () => {
    opened();
    last(sockets).gets(READY);
    const waited = wait(code);
    assert.ok(waited >= 200 && waited <= 400);
    elapse();
    assert.equal(sockets.length, 2);
  });
}

test("who was too slow comes back at once", () => {
  opened();
  assert.equal(wait(4408), 0);
});

test("who has too many tabs asks again, but seldom", () => {
  const { told } = opened();
  assert.equal(wait(4429), 30_000);
  assert.deepEqual(told.troubles, ["too many"]);
  elapse();
  last(sockets).gets(READY);
  assert.equal(last(told.troubles), null);
});

for (const [code, why] of [[4401, "signed out"], [4404, "not found"]]) {
  test(`after ${code} it does not come back`, () => {
    const { told } = opened();
    last(sockets).ends(code);
    assert.deepEqual(pending(), []);
    assert.deepEqual(told.troubles, [why]);
    heard.get("online")();
    assert.equal(sockets.length, 1);
  });
}

test("a network that is back, and a page that is looked at again, end the wait", () => {
  for (const type of ["online", "visibilitychange"]) {
    opened();
    last(sockets).gets(READY);
    wait();
    const before = sockets.length;
    heard.get(type)();
    assert.equal(sockets.length, before + 1);
    assert.deepEqual(pending(), [], "the wait is over");
    heard.get(type)();
    assert.equal(sockets.length, before + 1, "once");
  }
});

test("a network that is gone without a word is noticed, and its socket is given up", () => {
  const { told } = opened();
  const [socket] = sockets;
  socket.gets(READY);
  assert.equal(last(timers).wait, 20_000);
  elapse();
  assert.deepEqual(socket.sent, [{ type: "ping", n: 1 }]);
  assert.equal(last(timers).wait, 10_000);
  elapse();
  assert.equal(last(told.states), "offline");
  elapse();
  assert.equal(sockets.length, 2);
  // What the old one still has to say comes too late.
  socket.gets({ type: "pong", n: 1 });
  socket.ends(1006);
  assert.equal(last(told.states), "connecting");
  assert.equal(sockets.length, 2);
});

test("an answer keeps the socket", () => {
  opened();
  const [socket] = sockets;
  socket.gets(READY);
  elapse();
  socket.gets({ type: "pong", n: 1 });
  assert.deepEqual(pending().map((timer) => timer.wait), [20_000]);
});

test("what was seen is acknowledged four times a second, by its last number", () => {
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
