// @ts-check
/** The chat's websocket. It reconnects after a failure, unless the server closed it for good. */

const INITIAL_DELAY = 400;
const MAX_DELAY = 15_000;
const TOO_MANY_SOCKETS_DELAY = 30_000;
const PING_INTERVAL = 20_000;
const PONG_TIMEOUT = 10_000;
const ACK_INTERVAL = 250;

/**
 * @typedef {"online" | "connecting" | "offline"} ConnectionState
 * @typedef {"signed out" | "not found" | "too many"} ConnectionError
 */

export class Connection {
  /**
   * @param {string} path
   * @param {{onFrame: (frame: any) => void, onState: (state: ConnectionState) => void,
   *   onError: (error: ConnectionError | null) => void}} listener  `onError(null)` clears the error
   */
  constructor(path, listener) {
    this.url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    this.listener = listener;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.failures = 0;
    this.stopped = false;
    this.pings = 0;
    this.timers = { reconnect: 0, ping: 0, pong: 0, ack: 0 };
    /** @type {Map<string, {type: string, turn_id: string, attempt: number, n: number}>} */
    this.pendingAcks = new Map();
  }

  start() {
    addEventListener("online", () => this.reconnectNow());
    addEventListener("offline", () => this.socket?.close());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.reconnectNow());
    // A page with an open socket cannot enter the back/forward cache.
    addEventListener("pagehide", () => this.pause());
    addEventListener("pageshow", (event) => event.persisted && this.reconnectNow());
    this.connect();
  }

  connect() {
    clearTimeout(this.timers.reconnect);
    this.listener.onState("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.addEventListener("message", (event) => this.socket === socket && this.receive(event.data));
    socket.addEventListener("close", (event) => this.socket === socket && this.closed(event.code));
  }

  /** Connect without waiting for the reconnect delay. */
  reconnectNow() {
    if (this.stopped || this.socket !== null) return;
    this.failures = 0;
    this.connect();
  }

  pause() {
    const socket = this.socket;
    this.socket = null;
    this.clearTimers();
    socket?.close();
  }

  clearTimers() {
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.timers.ack = 0;
    this.pendingAcks.clear();
  }

  /** @param {string} data */
  receive(data) {
    clearTimeout(this.timers.pong);
    this.schedulePing();
    const frame = JSON.parse(data);
    if (frame.type === "pong") return;
    if (frame.type === "ready") {
      this.failures = 0;
      this.listener.onError(null);
      this.listener.onState("online");
    }
    if (typeof frame.turn_id === "string" && typeof frame.n === "number") this.acknowledge(frame);
    this.listener.onFrame(frame);
  }

  /** @param {{turn_id: string, attempt: number, n: number}} frame */
  acknowledge({ turn_id, attempt, n }) {
    this.pendingAcks.set(turn_id, { type: "log.ack", turn_id, attempt, n });
    this.timers.ack ||= window.setTimeout(() => {
      this.timers.ack = 0;
      for (const ack of this.pendingAcks.values()) this.send(ack);
      this.pendingAcks.clear();
    }, ACK_INTERVAL);
  }

  /** Ping after a silence, to detect a lost network, for which the browser fires no event. */
  schedulePing() {
    clearTimeout(this.timers.ping);
    this.timers.ping = window.setTimeout(() => {
      this.pings += 1;
      this.send({ type: "ping", n: this.pings });
      this.timers.pong = window.setTimeout(() => this.abandon(), PONG_TIMEOUT);
    }, PING_INTERVAL);
  }

  /** Replace a socket that does not respond; its own close event may take minutes. */
  abandon() {
    const socket = this.socket;
    this.closed(1006);
    socket?.close();
  }

  /** @param {number} code */
  closed(code) {
    this.socket = null;
    this.clearTimers();
    this.failures += 1;
    this.listener.onState("offline");
    if (code === 4401) return this.stop("signed out");
    if (code === 4404) return this.stop("not found");
    if (code === 4429) this.listener.onError("too many");
    this.timers.reconnect = window.setTimeout(() => this.connect(), this.reconnectDelay(code));
  }

  /**
   * Return the delay in milliseconds: exponential backoff, with jitter so that clients do not reconnect together.
   * @param {number} code
   */
  reconnectDelay(code) {
    if (code === 4408) return 0;
    if (code === 4429) return TOO_MANY_SOCKETS_DELAY;
    const max = Math.min(MAX_DELAY, INITIAL_DELAY * 2 ** (this.failures - 1));
    return max / 2 + (Math.random() * max) / 2;
  }

  /** @param {ConnectionError} error */
  stop(error) {
    this.stopped = true;
    this.listener.onError(error);
  }

  /**
   * Send a frame if the socket is open; return whether it was sent.
   * @param {object} frame
   */
  send(frame) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }
}
