// @ts-check
/**
 * What the page knows, as a value: `begin` from what the server put into the page, `receive` one frame, `refresh` after
 * having been away. Nothing here touches the page or the network, and no value is changed in place: what has not changed
 * is the same object.
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
 * @property {import("./listing.js").ListCursor | null} conversations_after  where the list goes on
 * @property {string[]} waiting   the chats in which something waits for the person's decision
 * @property {number} leaving     at a new chat: how many others go to the trash within a week
 * @property {string | null} version  the turn as which the conversation is looked back at; null in the current one
 * @property {Turn[]} turns       the loaded ones, in the order of the conversation's queue
 * @property {string | null} earlier  the first of them, where there are turns before it
 * @property {string[]} gone      turns that belong to an earlier version by now: what is still heard of them is let pass
 * @property {Task[]} tasks      those that are shown, in no order; there may be more
 * @property {number} tasks_revision
 * @property {{open: number, completed: number}} task_counts  how many there are in all
 * @property {Record<string, Change>} changes  of tasks, by the call that made them
 * @property {string | null} memory_start
 * @property {boolean} stale      something is missing that only the server can tell: ask it, then `refresh`
 */

import { withConversation, withPage, withoutConversation } from "./listing.js";
import { applyLogEntry, emptyTurn, hasEnded, isApplied, turnFrom } from "./turn.js";

/**
 * Make the first state from the server's data.
 * @param {any} data
 * @returns {State}
 */
export function begin(data) {
  return {
    version: null, earlier: null, conversations_after: null, waiting: [], ...data,
    changes: byCall(Object.values(data.changes ?? {})), turns: data.turns.map(turnFrom), gone: [], stale: false,
  };
}

/** @param {Change[]} changes */
const byCall = (changes) => Object.fromEntries(changes.map((change) => [change.call_id, change]));

/**
 * Take one frame of the socket into account.
 * @param {State} state
 * @param {any} frame
 * @returns {State}
 */
export function receive(state, frame) {
  switch (frame.type) {
    case "ready":
      return ready(state, frame);
    case "message.accepted":
      return accepted(state, frame);
    case "conversation.updated":
      return conversationUpdated(state, frame.conversation);
    case "conversation.deleted":
      return conversationDeleted(state, frame.id);
    case "changes.updated":
      return { ...state, changes: { ...state.changes, ...byCall(frame.changes) } };
    case "tasks.changed":
      return tasksChanged(state, frame);
    default:
      return typeof frame.turn_id === "string" && typeof frame.n === "number" ? logged(state, frame) : state;
  }
}

/**
 * Compare with what the server says is going on.
 * @param {State} before
 * @param {any} frame
 * @returns {State}
 */
function ready(before, frame) {
  const state = frame.conversation ? { ...before, conversation: frame.conversation } : before;
  const active = new Set(frame.turns.map((/** @type {{id: string}} */ turn) => turn.id));
  const ours = state.turns.filter((turn) => !hasEnded(turn)).map((turn) => turn.id);
  const known = new Set(state.turns.map((turn) => turn.id));
  // Spoken in since this was loaded, maybe by a turn that is over already.
  const moved = frame.conversation && frame.conversation.updated_at !== before.conversation?.updated_at;
  const sameTasks = frame.tasks_revision === undefined || frame.tasks_revision <= before.tasks_revision;
  const agreed = sameTasks && !moved && ours.every((id) => active.has(id)) && [...active].every((id) => known.has(id));
  return agreed ? state : { ...state, stale: true };
}

/**
 * Apply the changes of the task list between two revisions. Where something before them is missing, ask for the list.
 * @param {State} state
 * @param {any} frame
 * @returns {State}
 */
function tasksChanged(state, frame) {
  if (frame.revision <= state.tasks_revision) return state;
  if (frame.reload || frame.since > state.tasks_revision) return { ...state, stale: true };
  const replaced = new Set([...frame.removed, ...frame.tasks.map((/** @type {Task} */ task) => task.task_id)]);
  const tasks = [...state.tasks.filter((task) => !replaced.has(task.task_id)), ...frame.tasks];
  return { ...state, tasks, tasks_revision: frame.revision, task_counts: frame.counts };
}

/**
 * @param {State} before
 * @param {any} frame
 * @returns {State}
 */
function accepted(before, { client_id, message, turn }) {
  if (isPast(before, turn.id)) return before;
  const state = turn.replaces ? without(before, turn.replaces) : before;
  const own = message.turn_id === turn.id;
  const said = {
    prompt_id: message.id,
    prompt_text: message.text,
    prompt: own ? { ...message, client_id } : message,
  };
  const known = state.turns.find((other) => other.id === turn.id);
  if (known) return withTurn(state, { ...known, ...said });
  return withTurn(state, { ...emptyTurn(turn.id), ...said, status: turn.status, replaces: turn.replaces ?? null });
}

/**
 * Return whether a turn belongs to an earlier version of the conversation.
 * @param {State} state
 * @param {string} id
 */
function isPast(state, id) {
  return state.gone.includes(id) || state.turns.some((turn) => turn.id !== id && turn.versions.includes(id));
}

/**
 * Let go a turn whose place was taken, and all that followed it. Which versions there are now, and what stays done, only
 * the server can tell.
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
function without(state, id) {
  const index = state.turns.findIndex((turn) => turn.id === id);
  // It stood before the loaded turns, and so all of them are gone.
  if (index < 0) return state.earlier ? { ...state, stale: true } : state;
  const left = state.turns.slice(index).map((turn) => turn.id);
  return { ...state, turns: state.turns.slice(0, index), gone: [...state.gone, ...left], stale: true };
}

/**
 * @param {State} state
 * @param {Turn} turn
 * @returns {State}
 */
function withTurn(state, turn) {
  const index = state.turns.findIndex((other) => other.id === turn.id);
  if (index < 0) {
    // Of messages that are sent at once, each tab receives its own first.
    const position = turn.prompt?.position ?? Infinity;
    const later = state.turns.findIndex((other) => (other.prompt?.position ?? 0) > position);
    const place = later < 0 ? state.turns.length : later;
    return { ...state, turns: [...state.turns.slice(0, place), turn, ...state.turns.slice(place)] };
  }
  if (state.turns[index] === turn) return state;
  return { ...state, turns: state.turns.with ? state.turns.with(index, turn) : replaced(state.turns, index, turn) };
}

/**
 * @template T
 * @param {T[]} list
 * @param {number} index
 * @param {T} value
 */
function replaced(list, index, value) {
  const copy = list.slice();
  copy[index] = value;
  return copy;
}

/**
 * @param {State} state
 * @param {Conversation} conversation
 * @returns {State}
 */
function conversationUpdated(state, conversation) {
  const conversations = withConversation(state.conversations, conversation, state.conversations_after);
  const ours = conversation.id === state.conversation_id;
  const waiting = state.waiting.filter((id) => id !== conversation.id);
  if (conversation.waiting) waiting.push(conversation.id);
  return { ...state, conversations, waiting, conversation: ours ? conversation : state.conversation };
}

/**
 * Add the next part of the list of chats, which begins at a place.
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
 * Add the turns before one.
 * @param {State} state
 * @param {{turns: any[], earlier: string | null}} data
 * @param {string} before
 * @returns {State}
 */
export function withEarlier(state, data, before) {
  if (state.earlier !== before) return state;
  const known = new Set([...state.gone, ...state.turns.map((turn) => turn.id)]);
  const turns = data.turns.filter(({ id }) => !known.has(id)).map(turnFrom);
  const changes = { ...byCall(data.changes ?? []), ...state.changes };
  return { ...state, turns: [...turns, ...state.turns], changes, earlier: data.earlier };
}

/**
 * Let go a conversation that was deleted for good; where it is the one that is shown, what is written next begins a new one.
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
function conversationDeleted(state, id) {
  const conversations = withoutConversation(state.conversations, id);
  const waiting = state.waiting.filter((other) => other !== id);
  if (id !== state.conversation_id) return { ...state, conversations, waiting };
  const gone = [...state.gone, ...state.turns.map((turn) => turn.id)];
  return { ...state, conversations, waiting, conversation: null, turns: [], earlier: null, gone, memory_start: null, stale: false };
}

/**
 * Take an entry of a turn's log.
 * @param {State} state
 * @param {any} frame
 * @returns {State}
 */
function logged(state, frame) {
  if (isPast(state, frame.turn_id)) return state;
  const known = state.turns.find((turn) => turn.id === frame.turn_id);
  const turn = known ?? emptyTurn(frame.turn_id);
  if (isApplied(turn, frame)) return state;
  const next = { ...applyLogEntry(turn, frame), attempt: frame.attempt, n: frame.n };
  // A turn begun in another tab has no prompt here; a snapshot of a finished one may have no message; and what the
  // assistant was told about a call that was not made is in no frame.
  const untold = next.tools.some((call) => call.approval === "declined" && call.output === undefined);
  const incomplete = next.prompt_id === null || (next.status === "done" && next.reply === null) || (hasEnded(next) && untold);
  return { ...withTurn(state, next), stale: state.stale || incomplete };
}

/**
 * Note that the server is being asked: what becomes stale from now on needs another question.
 * @param {State} state
 * @returns {State}
 */
export const asking = (state) => ({ ...state, stale: false });

/**
 * Take what the server answered when asked again. What arrived by the socket since it was asked is newer.
 * @param {State} state
 * @param {any} data
 * @param {State} asked   the state at the moment of asking
 * @returns {State}
 */
export function refresh(state, data, asked) {
  // What was asked for did not hold the turns that were loaded meanwhile.
  if (state.earlier !== asked.earlier) return { ...state, stale: true };
  const fetched = begin(data);
  const told = new Set(fetched.turns.map((turn) => turn.id));
  // Every turn that was known when the server was asked is durable: one it does not tell of was replaced.
  const replaced = fetched.conversation ? asked.turns.map((turn) => turn.id).filter((id) => !told.has(id)) : [];
  const gone = [...new Set([...state.gone, ...replaced])];
  const current = fetched.turns.filter((turn) => !gone.includes(turn.id));
  const turns = current.map((turn) => merged(state.turns.find((other) => other.id === turn.id), turn));
  const list = fetched.tasks_revision >= state.tasks_revision ? fetched : state;
  const since = (/** @type {"conversation" | "waiting"} */ name) => (state[name] === asked[name] ? fetched[name] : state[name]);
  const listed = state.conversations === asked.conversations ? fetched : state;
  return {
    ...fetched,
    conversation_id: state.conversation_id,
    turns: [...turns, ...state.turns.filter((turn) => !told.has(turn.id) && !gone.includes(turn.id))],
    tasks: list.tasks,
    tasks_revision: list.tasks_revision,
    task_counts: list.task_counts,
    changes: state.changes === asked.changes ? fetched.changes : { ...fetched.changes, ...state.changes },
    conversation: /** @type {Conversation | null} */ (since("conversation")),
    conversations: listed.conversations,
    conversations_after: listed.conversations_after,
    waiting: /** @type {string[]} */ (since("waiting")),
    gone,
    stale: state.stale,
  };
}

/**
 * @param {Turn | undefined} here
 * @param {Turn} there
 * @returns {Turn}
 */
function merged(here, there) {
  if (here === undefined) return there;
  const { prompt, prompt_id, prompt_text, replaces, versions, kept } = there;
  if (hasEnded(there)) return { ...there, n: here.n };
  if (hasEnded(here) || (here.n > 0 && here.attempt >= there.attempt)) {
    return { ...here, prompt, prompt_id, prompt_text, replaces, versions, kept };
  }
  return { ...there, n: here.attempt === there.attempt ? here.n : 0 };
}
