// @ts-check
/** The queue of items that the server rejected because of a rate limit. They are sent again in order, one at a time. */

/**
 * @typedef {import("./outbox.js").OutboxItem} OutboxItem
 * @typedef {Pick<import("./outbox.js").Outbox, "items" | "hold">} HeldItems
 */

const COUNTDOWN_INTERVAL = 1_000;

export class ResendQueue {
  /**
   * @param {HeldItems} outbox
   * @param {{send: (item: OutboxItem) => void, render: () => void}} page
   */
  constructor(outbox, page) {
    this.outbox = outbox;
    this.page = page;
    this.retryAt = 0;
    this.reason = "";
    /** The `client_id` of the item that was sent again and has no response yet. @type {string | null} */
    this.inFlight = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  get first() {
    return this.outbox.items.find((item) => item.held);
  }

  /**
   * Send an item after all held items.
   * @param {OutboxItem} item
   */
  send(item) {
    if (!this.first) return this.page.send(item);
    this.outbox.hold(item.client_id);
    this.sendNext();
  }

  /**
   * Hold an item that the server rejected, and send it again later.
   * @param {OutboxItem} item
   * @param {string} reason
   * @param {number} seconds
   */
  hold(item, reason, seconds) {
    this.outbox.hold(item.client_id);
    this.retryAt = Date.now() + seconds * 1000;
    this.reason = reason.split(";")[0].replace(/\.$/, "");
    if (this.inFlight === item.client_id) this.inFlight = null;
    this.sendNext();
  }

  /** Send the next item if it is due and no other is in flight. */
  sendNext() {
    clearTimeout(this.timer);
    const { first } = this;
    if (!this.outbox.items.some((item) => item.held && item.client_id === this.inFlight)) this.inFlight = null;
    if (!first || this.inFlight !== null) return;
    const delay = this.retryAt - Date.now();
    if (delay > 0) this.timer = setTimeout(() => this.sendNext(), Math.min(delay, COUNTDOWN_INTERVAL));
    else {
      this.inFlight = first.client_id;
      this.page.send(first);
    }
    this.page.render();
  }

  /** Send again the item that had no response on the previous connection. */
  reconnected() {
    this.inFlight = null;
    this.sendNext();
  }

  /**
   * Return the status text of a held item.
   * @param {OutboxItem} item
   */
  statusOf(item) {
    const delay = this.retryAt - Date.now();
    if (item !== this.first || delay <= 0) return "Waiting…";
    return `${this.reason}. It is sent in ${formatSeconds(Math.ceil(delay / 1000))}.`;
  }
}

/** @param {number} seconds */
function formatSeconds(seconds) {
  const [count, unit] = seconds < 100 ? [seconds, "second"] : seconds < 6_000 ? [Math.ceil(seconds / 60), "minute"] : [Math.ceil(seconds / 3600), "hour"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
