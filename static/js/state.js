// @ts-check
/**
 * What the page knows, as a value: `begin` from what the server put into the page, `receive` one frame, `refresh` after
 * having been away. Nothing here touches the page or the network, and no value is changed in place: what has not changed
 * is the same object.
 */

/**
 * @typedef {{id: string, role: string, text: string, created_at: string, position: number | null, turn_id: string,
 *   client_id?: string | null}} Message
 * @typedef {{call_id: string, name: string, arguments: any, output?: string, error?: string,
 *   approval?: "awaiting" | "approved" | "declined", by?: string}} ToolCall   `by` is a user's id or "superseded"
 * @typedef {{id: string, title: string, created_at: string, updated_at: string, pinned: boolean, archived: boolean,
 *   trashed: boolean, trash_on: string | null, purge_on: string | null}} Conversation
 * @typedef {{task_id: string, number: number, title: string, description: string, due: string | null,
 *   priority: string, is_completed: boolean, completed_at: string | null}} Task
 * @typedef {{code: string, detail: string}} Notice
 *
 * @typedef {object} Turn
 * @property {string} id
 * @property {string} status  queued, running, waiting, done, failed or stopped
 * @property {number} attempt
 * @property {number} n       the last entry of the attempt's log that was seen
 * @property {string | null} prompt_id    the message it answers
 * @property {string} prompt_text
 * @property {Message | null} prompt      that message
 * @property {Message | null} reply
 * @property {string} text    the reply so far, while there is no message of it
 * @property {ToolCall[]} tools
 * @property {Notice | null} warning
 * @property {Notice | null} error
 * @property {string | null} replaces  the turn whose place it took
 * @property {string[]} versions       the turns of this place, oldest first, itself among them
 * @property {ToolCall[]} kept         what earlier versions did, and what stays done
 *
 * @typedef {object} State
 * @property {string} conversation_id
 * @property {Conversation | null} conversation
 * @property {Conversation[]} conversations
 * @property {number} leaving     at a new chat: how many others go to the trash within a week
 * @property {string | null} version  the turn as which the conversation is looked back at; null in the current one
 * @property {Turn[]} turns       in the order of the conversation's queue
 * @property {string[]} gone      turns that belong to an earlier version by now: what is still heard of them is let pass
 * @property {Task[]} tasks
 * @property {string | null} memory_start
 * @property {boolean} stale      something is missing that only the server can tell: ask it, then `refresh`
 */

import { withLine, withoutLine } from "./lines.js";

const ENDED = new Set(["done", "failed", "stopped"]);

/** @param {{status: string}} turn */
export const hasEnded = (turn) => ENDED.has(turn.status);

/** @param {{status: string}} turn */
export const isUnderWay = (turn) => turn.status === "queued" || turn.status === "running";

/** @param {ToolCall} call */
export const isAwaited = (call) => call.approval === "awaiting";

/**
 * Make the first state from the server's data.
 * @param {any} data
 * @returns {State}
 */
export function begin(data) {
  return { version: null, ...data, turns: data.turns.map(turnFrom), gone: [], stale: false };
}

/**
 * @param {any} data
 * @returns {Turn}
 */
function turnFrom(data) {
  return { n: 0, replaces: null, versions: [data.id], kept: [], ...data };
}

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
    case "tasks.changed":
      return { ...state, tasks: frame.tasks };
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
  const agreed = !moved && ours.every((id) => active.has(id)) && [...active].every((id) => known.has(id));
  return agreed ? state : { ...state, stale: true };
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
 * Tell whether a turn belongs to an earlier version of the conversation.
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
  if (index < 0) return state;
  const left = state.turns.slice(index).map((turn) => turn.id);
  return { ...state, turns: state.turns.slice(0, index), gone: [...state.gone, ...left], stale: true };
}

/**
 * @param {string} id
 * @returns {Turn}
 */
function emptyTurn(id) {
  return {
    id, status: "queued", attempt: 0, n: 0, prompt_id: null, prompt_text: "", prompt: null, reply: null, text: "",
    tools: [], warning: null, error: null, replaces: null, versions: [id], kept: [],
  };
}

/**
 * @param {State} state
 * @param {Turn} turn
 * @returns {State}
 */
function withTurn(state, turn) {
  const index = state.turns.findIndex((other) => other.id === turn.id);
  if (index < 0) return { ...state, turns: [...state.turns, turn] };
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
  const conversations = withLine(state.conversations, conversation);
  const ours = conversation.id === state.conversation_id;
  return { ...state, conversations, conversation: ours ? conversation : state.conversation };
}

/**
 * Let go a conversation that was deleted for good; where it is the one that is shown, what is written next begins a new one.
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
function conversationDeleted(state, id) {
  const conversations = withoutLine(state.conversations, id);
  if (id !== state.conversation_id) return { ...state, conversations };
  const gone = [...state.gone, ...state.turns.map((turn) => turn.id)];
  return { ...state, conversations, conversation: null, turns: [], gone, memory_start: null, stale: false };
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
  if (wasSeen(turn, frame)) return state;
  const next = { ...applied(turn, frame), attempt: frame.attempt, n: frame.n };
  // A turn begun in another tab has no prompt here; a snapshot of a finished one may have no message; and what the
  // assistant was told about a call that was not made is in no frame.
  const untold = next.tools.some((call) => call.approval === "declined" && call.output === undefined);
  const incomplete = next.prompt_id === null || (next.status === "done" && next.reply === null) || (hasEnded(next) && untold);
  return { ...withTurn(state, next), stale: state.stale || incomplete };
}

/**
 * @param {Turn} turn
 * @param {any} frame
 */
function wasSeen(turn, frame) {
  if (hasEnded(turn) && frame.attempt <= turn.attempt) return true;
  if (frame.attempt !== turn.attempt) return frame.attempt < turn.attempt;
  // A snapshot may come from the record, which counts nothing: it replaces what is shown, whatever its number.
  return frame.type !== "turn.snapshot" && frame.n <= turn.n;
}

/**
 * @param {Turn} turn
 * @param {any} frame
 * @returns {Turn}
 */
function applied(turn, frame) {
  switch (frame.type) {
    case "turn.queued":
      return { ...turn, status: "queued" };
    case "turn.started":
      return { ...turn, status: "running" };
    case "text.delta":
      return { ...turn, status: "running", text: written(turn.text, frame.text, frame.at) };
    case "tool.started":
      return { ...turn, status: "running", tools: called(turn.tools, frame) };
    case "tool.finished":
      return { ...turn, tools: returned(turn.tools, frame) };
    case "approval.requested":
      return { ...turn, status: "waiting", tools: asked(turn.tools, frame) };
    case "approval.decided":
      return decided(turn, frame);
    case "warning":
      return { ...turn, warning: { code: frame.code, detail: frame.detail } };
    case "turn.resumed":
      return { ...turn, status: "running", text: frame.text ?? "", tools: frame.tools ?? [] };
    case "turn.snapshot":
      return pictured(turn, frame);
    case "turn.finished":
      return { ...turn, status: "done", text: "", reply: frame.message };
    case "turn.stopped":
      return { ...turn, status: "stopped", text: "", reply: frame.message ?? null };
    case "turn.failed":
      return { ...turn, status: "failed", text: "", error: { code: frame.code, detail: frame.detail } };
    default:
      return turn;
  }
}

/**
 * @param {Turn} turn
 * @param {any} frame
 * @returns {Turn}
 */
function pictured(turn, { status, text, tools, message, code, detail }) {
  const ended = hasEnded({ status });
  return {
    ...turn,
    status,
    text: ended ? "" : (text ?? ""),
    tools: tools ?? [],
    reply: message ?? null,
    error: status === "failed" ? { code: code ?? "", detail: detail ?? "" } : null,
  };
}

/**
 * Write a piece at a place counted in Unicode code points. A piece that says again what already stands there leaves what
 * follows it; one that says something else ends the text.
 * @param {string} text
 * @param {string} piece
 * @param {number} at
 * @returns {string}
 */
export function written(text, piece, at) {
  const index = unitIndex(text, at);
  if (text.startsWith(piece, index)) return text;
  return text.slice(0, index) + piece;
}

/**
 * Find where a count of code points ends in UTF-16 units.
 * @param {string} text
 * @param {number} points
 */
function unitIndex(text, points) {
  let index = 0;
  for (let count = 0; count < points && index < text.length; count += 1) {
    index += /** @type {number} */ (text.codePointAt(index)) > 0xffff ? 2 : 1;
  }
  return index;
}

/**
 * @param {ToolCall[]} tools
 * @param {any} frame
 * @returns {ToolCall[]}
 */
function called(tools, frame) {
  if (tools.some((call) => call.call_id === frame.call_id)) return tools;
  return [...tools, { call_id: frame.call_id, name: frame.name, arguments: frame.arguments }];
}

/**
 * @param {ToolCall[]} tools
 * @param {any} frame
 * @returns {ToolCall[]}
 */
function asked(tools, frame) {
  return called(tools, frame).map((call) => (call.call_id === frame.call_id ? { ...call, approval: "awaiting" } : call));
}

/**
 * @param {Turn} turn
 * @param {any} frame
 * @returns {Turn}
 */
function decided(turn, { call_id, approved, by }) {
  const approval = approved ? /** @type {const} */ ("approved") : /** @type {const} */ ("declined");
  const tools = turn.tools.map((call) => (call.call_id === call_id ? { ...call, approval, by } : call));
  // It goes on once all is decided; where something else was said, its end comes next.
  const goesOn = by !== "superseded" && !tools.some(isAwaited);
  return { ...turn, tools, status: goesOn ? "running" : turn.status };
}

/**
 * @param {ToolCall[]} tools
 * @param {any} frame
 * @returns {ToolCall[]}
 */
function returned(tools, frame) {
  return tools.map((call) => {
    if (call.call_id !== frame.call_id) return call;
    return frame.error === undefined || frame.error === null
      ? { ...call, output: frame.output }
      : { ...call, error: frame.error };
  });
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
  const fetched = begin(data);
  const told = new Set(fetched.turns.map((turn) => turn.id));
  // Every turn that was known when the server was asked is durable: one it does not tell of was replaced.
  const replaced = fetched.conversation ? asked.turns.map((turn) => turn.id).filter((id) => !told.has(id)) : [];
  const gone = [...new Set([...state.gone, ...replaced])];
  const current = fetched.turns.filter((turn) => !gone.includes(turn.id));
  const turns = current.map((turn) => merged(state.turns.find((other) => other.id === turn.id), turn));
  const since = (/** @type {"tasks" | "conversation" | "conversations"} */ name) =>
    state[name] === asked[name] ? fetched[name] : state[name];
  return {
    ...fetched,
    conversation_id: state.conversation_id,
    turns: [...turns, ...state.turns.filter((turn) => !told.has(turn.id) && !gone.includes(turn.id))],
    tasks: /** @type {Task[]} */ (since("tasks")),
    conversation: /** @type {Conversation | null} */ (since("conversation")),
    conversations: /** @type {Conversation[]} */ (since("conversations")),
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
