// @ts-check
/**
 * Messages that the server has not accepted yet, and drafts, in the tab's session storage. After a reconnect, a message is sent
 * again with the same `client_id`, so that the server accepts it once.
 */

import { url } from "./site.js";

/**
 * @typedef {object} OutboxItem
 * @property {string} client_id
 * @property {string | null} text      of a message; null for a retry
 * @property {string | null} edit_of   the id of the message that it replaces
 * @property {string | null} retry_of  the id of the turn to retry
 * @property {string} [model]          of a new chat
 * @property {string | null} refused   why the server rejected it
 * @property {boolean} [held]          it is sent again later: see resends.js
 */

// Per user: another user of this tab must neither see nor send these items.
const PREFIX = `threadkeeper:${url("")}${document.getElementById("chat")?.dataset.person ?? ""}:`;

/** @param {string} key */
function load(key) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + key) ?? "null");
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {unknown} value  null removes the key
 */
function store(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(PREFIX + key);
    else sessionStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Storage is full or blocked: the page works, but nothing survives a reload.
  }
}

/** Remove everything from storage when the user signs out. */
export function clearStorage() {
  try {
    for (const key of Object.keys(sessionStorage)) {
      if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
    }
  } catch {
    // Storage is blocked, so nothing was stored.
  }
}

/**
 * Choose the conversation id of a new chat: the previous one if it still has unsent messages from before a reload.
 * @param {string} proposed   by the server
 * @returns {string}
 */
export function newConversationId(proposed) {
  const previous = load("new");
  if (typeof previous === "string" && (load(`outbox:${previous}`) ?? []).length) return previous;
  store("new", proposed);
  return proposed;
}

export class Outbox {
  /** @param {string} conversationId */
  constructor(conversationId) {
    this.key = `outbox:${conversationId}`;
    /** @type {OutboxItem[]} */
    this.items = (load(this.key) ?? []).map((/** @type {OutboxItem} */ item) => ({ ...item, edit_of: item.edit_of ?? null }));
  }

  /** @param {{text?: string, edit_of?: string, retry_of?: string, model?: string}} fields */
  add({ text, edit_of, retry_of, model }) {
    const item = {
      client_id: randomUuid(), text: text ?? null, edit_of: edit_of ?? null, retry_of: retry_of ?? null, refused: null,
      ...(model && { model }),
    };
    this.set([...this.items, item]);
    return item;
  }

  /** @param {string} clientId */
  remove(clientId) {
    if (this.items.some((item) => item.client_id === clientId)) {
      this.set(this.items.filter((item) => item.client_id !== clientId));
    }
  }

  /**
   * @param {string} clientId
   * @param {string | null} reason  null to send it again
   */
  reject(clientId, reason) {
    this.change(clientId, { refused: reason, held: false });
  }

  /** Mark an item as one to send again later. @param {string} clientId */
  hold(clientId) {
    this.change(clientId, { refused: null, held: true });
  }

  /**
   * @param {string} clientId
   * @param {Partial<OutboxItem>} fields
   */
  change(clientId, fields) {
    this.set(this.items.map((item) => (item.client_id === clientId ? { ...item, ...fields } : item)));
  }

  /** Remove the items that the server has accepted. @param {import("./turn.js").Turn[]} turns */
  removeAccepted(turns) {
    const accepted = new Set(turns.map((turn) => turn.prompt?.client_id));
    const remaining = this.items.filter((item) => !accepted.has(item.client_id));
    if (remaining.length < this.items.length) this.set(remaining);
  }

  /** @param {OutboxItem[]} items */
  set(items) {
    this.items = items;
    store(this.key, items.length ? items : null);
  }
}

/** An unsent text: of the composer, one per conversation, or of the task list. */
export class Draft {
  /** @param {string} key */
  constructor(key) {
    this.key = `draft:${key}`;
  }

  get text() {
    const text = load(this.key);
    return typeof text === "string" ? text : "";
  }

  set text(value) {
    store(this.key, value === "" ? null : value);
  }
}

/** Return a random UUID; `crypto.randomUUID` is missing over plain HTTP. */
function randomUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
