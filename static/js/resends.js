// @ts-check
/**
 * Send again what the server refuses for a time, such as too many messages a minute: in order, each item after the answer to the one
 * before.
 */

/**
 * @typedef {import("./outbox.js").Unsent} Unsent
 * @typedef {{items: Unsent[], hold: (clientId: string) => void}} Held
 */

const TICK = 1_000;

export class Resends {
  /**
   * @param {Held} outbox
   * @param {{send: (item: Unsent) => void, draw: () => void}} page
   */
  constructor(outbox, page) {
    this.outbox = outbox;
    this.page = page;
    this.until = 0;
    this.why = "";
    /** The item that was sent again and is not answered. @type {string | null} */
    this.sent = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  get first() {
    return this.outbox.items.find((item) => item.held);
  }

  /**
   * Send an item, behind those that are held.
   * @param {Unsent} item
   */
  send(item) {
    if (!this.first) return this.page.send(item);
    this.outbox.hold(item.client_id);
    this.go();
  }

  /**
   * Hold an item that the server refused until it takes it.
   * @param {Unsent} item
   * @param {string} why
   * @param {number} seconds
   */
  hold(item, why, seconds) {
    this.outbox.hold(item.client_id);
    this.until = Date.now() + seconds * 1000;
    this.why = why.split(";")[0].replace(/\.$/, "");
    if (this.sent === item.client_id) this.sent = null;
    this.go();
  }

  /** Send the next item if it is due and none is unanswered. */
  go() {
    clearTimeout(this.timer);
    const { first } = this;
    if (!this.outbox.items.some((item) => item.held && item.client_id === this.sent)) this.sent = null;
    if (!first || this.sent !== null) return;
    const wait = this.until - Date.now();
    if (wait > 0) this.timer = setTimeout(() => this.go(), Math.min(wait, TICK));
    else {
      this.sent = first.client_id;
      this.page.send(first);
    }
    this.page.draw();
  }

  /** Send again what was not answered on the last connection. */
  connected() {
    this.sent = null;
    this.go();
  }

  /**
   * Return what a held item waits for.
   * @param {Unsent} item
   */
  stateOf(item) {
    const wait = this.until - Date.now();
    if (item !== this.first || wait <= 0) return "Waiting…";
    return `${this.why}. It is sent in ${duration(Math.ceil(wait / 1000))}.`;
  }
}

/** @param {number} seconds */
function duration(seconds) {
  const [count, unit] = seconds < 100 ? [seconds, "second"] : seconds < 6_000 ? [Math.ceil(seconds / 60), "minute"] : [Math.ceil(seconds / 3600), "hour"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
