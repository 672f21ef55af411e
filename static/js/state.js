// @ts-check
/**
 * The state of the chat page, and the pure functions that update it: from the data in the page, from a frame, or from a refresh.
 * Nothing is mutated: what has not changed remains the same object.
 */

/** @typedef {import("./turn.js").Turn} Turn */

/**
 * @typedef {{id: string, title: string, created_at: string, updated_at: string, pinned: boolean, archived: boolean,
 *   trashed: boolean, trash_on: string | null, purge_on: string | null, model?: string | null, waiting?: boolean}} Conversation
 * @typedef {{task_id: string, number: number, title: string, description: string, due: string | null,
 *   priority: string, is_completed: boolean, updated_at: string, completed_at: string | null}} Task
 * @typedef {{change_id: string, call_id: string, undone: boolean, undoable: boolean}} Change
 *
 * @typedef {object} State
 * @property {string} conversation_id
 * @property {Conversation | null} conversation
 * @property {Conversation[]} conversations  the loaded part of the list
 * @property {import("./listing.js").ListCursor | null} conversations_after  the end of the loaded part; null if all are loaded
 * @property {string[]} waiting   the ids of chats that wait for the user's decision
 * @property {number} leaving     in a new chat: how many chats move to the trash within a week
 * @property {string | null} version  the turn of the shown version of the conversation; null for the current one
 * @property {Turn[]} turns       the loaded turns, in the order of the queue
 * @property {string | null} earlier  the id of the first loaded turn if there are turns before it
 * @property {string[]} removed   the ids of replaced or deleted turns; their frames are ignored
 * @property {Task[]} tasks      the loaded tasks, in no order
 * @property {number} tasks_revision
 * @property {{open: number, completed: number}} task_counts  of all tasks
 * @property {Record<string, Change>} changes  of tasks, by `call_id`
 * @property {string | null} memory_start
 * @property {boolean} stale      data is missing that a refresh brings
 */

import { withConversation, withPage, withoutConversation } from "./listing.js";
import { applyLogEntry, emptyTurn, hasEnded, isApplied, turnFrom } from "./turn.js";

/**
 * Make the state from the server's data.
 * @param {any} data
 * @returns {State}
 */
export function createState(data) {
  return {
    version: null, earlier: null, conversations_after: null, waiting: [], ...data,
    changes: byCall(Object.values(data.changes ?? {})), turns: data.turns.map(turnFrom), removed: [], stale: false,
  };
}

/** @param {Change[]} changes */
const byCall = (changes) => Object.fromEntries(changes.map((change) => [change.call_id, change]));

/**
 * Apply a frame of the websocket.
 * @param {State} state
 * @param {any} frame
 * @returns {State}
 */
export function applyFrame(state, frame) {
  switch (frame.type) {
    case "ready":
      return applyReady(state, frame);
    case "message.accepted":
      return applyAccepted(state, frame);
    case "conversation.updated":
      return updateConversation(state, frame.conversation);
    case "conversation.deleted":
      return deleteConversation(state, frame.id);
    case "changes.updated":
      return { ...state, changes: { ...state.changes, ...byCall(frame.changes) } };
    case "tasks.changed":
      return applyTaskChanges(state, frame);
    default:
      return typeof frame.turn_id === "string" && typeof frame.n === "number" ? applyTurnFrame(state, frame) : state;
  }
}

/**
 * Mark the state as stale if it differs from a `ready` frame.
 * @param {State} current
 * @param {any} frame
 * @returns {State}
 */
function applyReady(current, frame) {
  const state = frame.conversation ? { ...current, conversation: frame.conversation } : current;
  const active = new Set(frame.turns.map((/** @type {{id: string}} */ turn) => turn.id));
  const unfinished = state.turns.filter((turn) => !hasEnded(turn)).map((turn) => turn.id);
  const known = new Set(state.turns.map((turn) => turn.id));
  // A turn may have started and ended since the page was loaded.
  const isUpdated = frame.conversation && frame.conversation.updated_at !== current.conversation?.updated_at;
  const hasTasks = frame.tasks_revision === undefined || frame.tasks_revision <= current.tasks_revision;
  const isCurrent = hasTasks && !isUpdated && unfinished.every((id) => active.has(id)) && [...active].every((id) => known.has(id));
  return isCurrent ? state : { ...state, stale: true };
}

/**
 * Apply changes of the task list. The state becomes stale if earlier changes are missing.
 * @param {State} state
 * @param {any} frame
 * @returns {State}
 */
function applyTaskChanges(state, frame) {
  if (frame.revision <= state.tasks_revision) return state;
  if (frame.reload || frame.since > state.tasks_revision) return { ...state, stale: true };
  const replaced = new Set([...frame.removed, ...frame.tasks.map((/** @type {Task} */ task) => task.task_id)]);
  const tasks = [...state.tasks.filter((task) => !replaced.has(task.task_id)), ...frame.tasks];
  return { ...state, tasks, tasks_revision: frame.revision, task_counts: frame.counts };
}

/**
 * @param {State} current
 * @param {any} frame
 * @returns {State}
 */
function applyAccepted(current, { client_id, message, turn }) {
  if (isRemoved(current, turn.id)) return current;
  const state = turn.replaces ? withoutTurnsFrom(current, turn.replaces) : current;
  const own = message.turn_id === turn.id;
  const prompt = {
    prompt_id: message.id,
    prompt_text: message.text,
    prompt: own ? { ...message, client_id } : message,
  };
  const known = state.turns.find((other) => other.id === turn.id);
  if (known) return withTurn(state, { ...known, ...prompt });
  return withTurn(state, { ...emptyTurn(turn.id), ...prompt, status: turn.status, replaces: turn.replaces ?? null });
}

/**
 * Return whether a turn was replaced or deleted.
 * @param {State} state
 * @param {string} id
 */
function isRemoved(state, id) {
  return state.removed.includes(id) || state.turns.some((turn) => turn.id !== id && turn.versions.includes(id));
}

/**
 * Remove a replaced turn and all turns after it. The next refresh brings the versions of its successor.
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
function withoutTurnsFrom(state, id) {
  const index = state.turns.findIndex((turn) => turn.id === id);
  // An earlier turn that is not loaded was replaced, and so all loaded turns were.
  if (index < 0) return state.earlier ? { ...state, stale: true } : state;
  const ids = state.turns.slice(index).map((turn) => turn.id);
  return { ...state, turns: state.turns.slice(0, index), removed: [...state.removed, ...ids], stale: true };
}

/**
 * @param {State} state
 * @param {Turn} turn
 * @returns {State}
 */
function withTurn(state, turn) {
  const index = state.turns.findIndex((other) => other.id === turn.id);
  if (index < 0) {
    // If several tabs send at the same time, each receives its own message first.
    const position = turn.prompt?.position ?? Infinity;
    const next = state.turns.findIndex((other) => (other.prompt?.position ?? 0) > position);
    const end = next < 0 ? state.turns.length : next;
    return { ...state, turns: [...state.turns.slice(0, end), turn, ...state.turns.slice(end)] };
  }
  if (state.turns[index] === turn) return state;
  return { ...state, turns: state.turns.with ? state.turns.with(index, turn) : replaceAt(state.turns, index, turn) };
}

/**
 * @template T
 * @param {T[]} list
 * @param {number} index
 * @param {T} value
 */
function replaceAt(list, index, value) {
  const copy = list.slice();
  copy[index] = value;
  return copy;
}

/**
 * @param {State} state
 * @param {Conversation} conversation
 * @returns {State}
 */
function updateConversation(state, conversation) {
  const conversations = withConversation(state.conversations, conversation, state.conversations_after);
  const isShown = conversation.id === state.conversation_id;
  const waiting = state.waiting.filter((id) => id !== conversation.id);
  if (conversation.waiting) waiting.push(conversation.id);
  return { ...state, conversations, waiting, conversation: isShown ? conversation : state.conversation };
}

/**
 * Add the next page of the list of chats.
 * @param {State} state
 * @param {{conversations: Conversation[], conversations_after: import("./listing.js").ListCursor | null}} data
 * @param {import("./listing.js").ListCursor} after
 * @returns {State}
 */
export function withConversations(state, data, after) {
  if (state.conversations_after !== after) return state;
  return { ...state, conversations: withPage(state.conversations, data.conversations), conversations_after: data.conversations_after };
}

/**
 * Add the turns before a turn.
 * @param {State} state
 * @param {{turns: any[], earlier: string | null}} data
 * @param {string} before
 * @returns {State}
 */
export function withEarlierTurns(state, data, before) {
  if (state.earlier !== before) return state;
  const known = new Set([...state.removed, ...state.turns.map((turn) => turn.id)]);
  const turns = data.turns.filter(({ id }) => !known.has(id)).map(turnFrom);
  const changes = { ...byCall(data.changes ?? []), ...state.changes };
  return { ...state, turns: [...turns, ...state.turns], changes, earlier: data.earlier };
}

/**
 * Remove a permanently deleted conversation. If it is the one on the page, the next message starts a new one.
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
function deleteConversation(state, id) {
  const conversations = withoutConversation(state.conversations, id);
  const waiting = state.waiting.filter((other) => other !== id);
  if (id !== state.conversation_id) return { ...state, conversations, waiting };
  const removed = [...state.removed, ...state.turns.map((turn) => turn.id)];
  return { ...state, conversations, waiting, conversation: null, turns: [], earlier: null, removed, memory_start: null, stale: false };
}

/**
 * Apply an entry of a turn's log.
 * @param {State} state
 * @param {any} frame
 * @returns {State}
 */
function applyTurnFrame(state, frame) {
  if (isRemoved(state, frame.turn_id)) return state;
  const known = state.turns.find((turn) => turn.id === frame.turn_id);
  const turn = known ?? emptyTurn(frame.turn_id);
  if (isApplied(turn, frame)) return state;
  // A warning concerns one attempt.
  const warning = frame.attempt > turn.attempt ? null : turn.warning;
  const next = { ...applyLogEntry({ ...turn, warning }, frame), attempt: frame.attempt, n: frame.n };
  // Frames lack another tab's prompt, the reply of some snapshots, and the output of a declined call.
  const lacksOutput = next.tools.some((call) => call.approval === "declined" && call.output === undefined);
  const incomplete = next.prompt_id === null || (next.status === "done" && next.reply === null) || (hasEnded(next) && lacksOutput);
  return { ...withTurn(state, next), stale: state.stale || incomplete };
}

/**
 * Return the state at the request of a refresh. If it becomes stale later, it needs another.
 * @param {State} state
 * @returns {State}
 */
export const startRefresh = (state) => ({ ...state, stale: false });

/**
 * Apply the response of a refresh. Frames that arrived after its request are newer.
 * @param {State} state
 * @param {any} data
 * @param {State} requested   the state at the request
 * @returns {State}
 */
export function finishRefresh(state, data, requested) {
  // Earlier turns were loaded after the request, so the response lacks them.
  if (state.earlier !== requested.earlier) return { ...state, stale: true };
  const fetched = createState(data);
  const ids = new Set(fetched.turns.map((turn) => turn.id));
  // Every turn that was known at the request is durable: one that the response lacks was replaced.
  const replaced = fetched.conversation ? requested.turns.map((turn) => turn.id).filter((id) => !ids.has(id)) : [];
  const removed = [...new Set([...state.removed, ...replaced])];
  const current = fetched.turns.filter((turn) => !removed.includes(turn.id));
  const turns = current.map((turn) => mergeTurn(state.turns.find((other) => other.id === turn.id), turn));
  const newer = fetched.tasks_revision >= state.tasks_revision ? fetched : state;
  const latest = (/** @type {"conversation" | "waiting"} */ name) => (state[name] === requested[name] ? fetched[name] : state[name]);
  const listing = state.conversations === requested.conversations ? fetched : state;
  return {
    ...fetched,
    conversation_id: state.conversation_id,
    turns: [...turns, ...state.turns.filter((turn) => !ids.has(turn.id) && !removed.includes(turn.id))],
    tasks: newer.tasks,
    tasks_revision: newer.tasks_revision,
    task_counts: newer.task_counts,
    changes: state.changes === requested.changes ? fetched.changes : { ...fetched.changes, ...state.changes },
    conversation: /** @type {Conversation | null} */ (latest("conversation")),
    conversations: listing.conversations,
    conversations_after: listing.conversations_after,
    waiting: /** @type {string[]} */ (latest("waiting")),
    removed,
    stale: state.stale,
  };
}

/**
 * @param {Turn | undefined} local
 * @param {Turn} fetched
 * @returns {Turn}
 */
function mergeTurn(local, fetched) {
  if (local === undefined) return fetched;
  const { prompt, prompt_id, prompt_text, replaces, versions, kept } = fetched;
  if (hasEnded(fetched)) return { ...fetched, n: local.n };
  if (hasEnded(local) || (local.n > 0 && local.attempt >= fetched.attempt)) {
    return { ...local, prompt, prompt_id, prompt_text, replaces, versions, kept };
  }
  return { ...fetched, n: local.attempt === fetched.attempt ? local.n : 0 };
}
