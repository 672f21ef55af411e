// @ts-check
/**
 * What the person has sent and the server has not accepted yet. It is kept over reloads of the tab, and sent again after a
 * reconnect with the same `client_id`, which the server takes once.
 */

import { url } from "./site.js";

/**
 * @typedef {object} Unsent
 * @property {string} client_id
 * @property {string | null} text      of a message
 * @property {string | null} edit_of   the message in whose place it is said
 * @property {string | null} retry_of  the turn that is to be tried again
 * @property {string} [model]          that answers in a chat which the message begins
 * @property {string | null} refused   why the server did not take it
 * @property {boolean} [held]         the server takes it later: see resends.js
 */

// Of one person of this site: whoever signs in next in this tab sees nothing of it, and sends nothing of it.
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
 * @param {unknown} value  null forgets
 */
function store(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(PREFIX + key);
    else sessionStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Storage is full or withheld: what is on the page still works, it only does not outlive it.
  }
}

/** Forget all of it, when the person signs out. */
export function forget() {
  try {
    for (const key of Object.keys(sessionStorage)) {
      if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
    }
  } catch {
    // Where storage is withheld, nothing was kept.
  }
}

/**
 * Decide which conversation the page of a new chat belongs to: one with something unsent from before a reload comes first.
 * @param {string} fresh   the id that the server proposed
 * @returns {string}
 */
export function newConversationId(fresh) {
  const before = load("new");
  if (typeof before === "string" && (load(`outbox:${before}`) ?? []).length) return before;
  store("new", fresh);
  return fresh;
}

export class Outbox {
  /** @param {string} conversationId */
  constructor(conversationId) {
    this.key = `outbox:${conversationId}`;
    /** @type {Unsent[]} */
    this.items = (load(this.key) ?? []).map((/** @type {Unsent} */ item) => ({ ...item, edit_of: item.edit_of ?? null }));
  }

  /** Whether something is on its way. */
  get isBusy() {
    return this.items.some((item) => item.refused === null);
  }

  /** @param {{text?: string, edit_of?: string, retry_of?: string, model?: string}} what */
  add({ text, edit_of, retry_of, model }) {
    const item = {
      client_id: newId(), text: text ?? null, edit_of: edit_of ?? null, retry_of: retry_of ?? null, refused: null,
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
   * @param {string | null} why
   */
  refuse(clientId, why) {
    this.change(clientId, { refused: why, held: false });
  }

  /** Keep an item until the server takes it. @param {string} clientId */
  hold(clientId) {
    this.change(clientId, { refused: null, held: true });
  }

  /**
   * @param {string} clientId
   * @param {Partial<Unsent>} fields
   */
  change(clientId, fields) {
    this.set(this.items.map((item) => (item.client_id === clientId ? { ...item, ...fields } : item)));
  }

  /** Forget what the history already holds. @param {import("./turn.js").Turn[]} turns */
  settle(turns) {
    const said = new Set(turns.map((turn) => turn.prompt?.client_id));
    const left = this.items.filter((item) => !said.has(item.client_id));
    if (left.length < this.items.length) this.set(left);
  }

  /** @param {Unsent[]} items */
  set(items) {
    this.items = items;
    store(this.key, items.length ? items : null);
  }
}

/** What is being written: in the composer, one draft a conversation, and in the task list. */
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

/** Make a random uuid, over plain http too, where the browser withholds `randomUUID`. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
