// @ts-check
/** The connection: opened again whenever it is lost, for as long as that makes sense. */

const FIRST_WAIT = 400;
const LONGEST_WAIT = 15_000;
const TOO_MANY_WAIT = 30_000;
const ALIVE_EVERY = 20_000;
const ANSWER_WITHIN = 10_000;
const ACKNOWLEDGE_EVERY = 250;

/**
 * @typedef {"online" | "connecting" | "offline"} ConnectionState
 * @typedef {"signed out" | "not found" | "too many"} Trouble
 */

export class Connection {
  /**
   * @param {string} path
   * @param {{frame: (frame: any) => void, state: (state: ConnectionState) => void, trouble: (why: Trouble | null) => void}} listener
   */
  constructor(path, listener) {
    this.url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    this.listener = listener;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.failures = 0;
    this.ended = false;
    this.pings = 0;
    this.timers = { reconnect: 0, alive: 0, answer: 0, acknowledge: 0 };
    /** @type {Map<string, {type: string, turn_id: string, attempt: number, n: number}>} */
    this.seen = new Map();
  }

  /** Connect, and stay connected. */
  start() {
    addEventListener("online", () => this.now());
    addEventListener("offline", () => this.socket?.close());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.now());
    // A page with an open socket cannot be kept for the back button.
    addEventListener("pagehide", () => this.pause());
    addEventListener("pageshow", (event) => event.persisted && this.now());
    this.connect();
  }

  connect() {
    clearTimeout(this.timers.reconnect);
    this.listener.state("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.addEventListener("message", (event) => this.socket === socket && this.receive(event.data));
    socket.addEventListener("close", (event) => this.socket === socket && this.lost(event.code));
  }

  /** Connect at once where a wait was going on. */
  now() {
    if (this.ended || this.socket !== null) return;
    this.failures = 0;
    this.connect();
  }

  pause() {
    const socket = this.socket;
    this.socket = null;
    this.stopTimers();
    socket?.close();
  }

  stopTimers() {
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.timers.acknowledge = 0;
    this.seen.clear();
  }

  /** @param {string} data */
  receive(data) {
    clearTimeout(this.timers.answer);
    this.keepAlive();
    const frame = JSON.parse(data);
    if (frame.type === "pong") return;
    if (frame.type === "ready") {
      this.failures = 0;
      this.listener.trouble(null);
      this.listener.state("online");
    }
    if (typeof frame.turn_id === "string" && typeof frame.n === "number") this.acknowledge(frame);
    this.listener.frame(frame);
  }

  /** @param {{turn_id: string, attempt: number, n: number}} frame */
  acknowledge({ turn_id, attempt, n }) {
    this.seen.set(turn_id, { type: "log.ack", turn_id, attempt, n });
    this.timers.acknowledge ||= window.setTimeout(() => {
      this.timers.acknowledge = 0;
      for (const ack of this.seen.values()) this.send(ack);
      this.seen.clear();
    }, ACKNOWLEDGE_EVERY);
  }

  /** Ask now and then whether the other end is there: a network that is gone does not say so. */
  keepAlive() {
    clearTimeout(this.timers.alive);
    this.timers.alive = window.setTimeout(() => {
      this.pings += 1;
      this.send({ type: "ping", n: this.pings });
      this.timers.answer = window.setTimeout(() => this.abandon(), ANSWER_WITHIN);
    }, ALIVE_EVERY);
  }

  /** Give up a socket that no longer answers; its own close event may be minutes away. */
  abandon() {
    const socket = this.socket;
    this.lost(1006);
    socket?.close();
  }

  /** @param {number} code */
  lost(code) {
    this.socket = null;
    this.stopTimers();
    this.failures += 1;
    this.listener.state("offline");
    if (code === 4401) return this.end("signed out");
    if (code === 4404) return this.end("not found");
    if (code === 4429) this.listener.trouble("too many");
    this.timers.reconnect = window.setTimeout(() => this.connect(), code === 4429 ? TOO_MANY_WAIT : this.wait(code));
  }

  /**
   * Wait longer after each failure, and never in step with others who lost the same server.
   * @param {number} code
   */
  wait(code) {
    if (code === 4408) return 0;
    const most = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (this.failures - 1));
    return most / 2 + (Math.random() * most) / 2;
  }

  /** @param {Trouble} why */
  end(why) {
    this.ended = true;
    this.listener.trouble(why);
  }

  /**
   * Send a frame, if there is a connection; tell whether there was.
   * @param {object} frame
   */
  send(frame) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }
}
