// @ts-check
/**
 * A turn, as a value, and what the entries of its log make of it. As in `state.js`, which keeps the turns of a
 * conversation, nothing is changed in place.
 */

/**
 * @typedef {{id: string, role: string, text: string, created_at: string, position: number | null, turn_id: string,
 *   client_id?: string | null}} Message
 * @typedef {{call_id: string, name: string, arguments: any, output?: string, error?: string,
 *   approval?: "awaiting" | "approved" | "declined", by?: string}} ToolCall   `by` is a user's id or "superseded"
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
 * @property {string} reasoning  what the model thought, which is no part of the reply
 * @property {ToolCall[]} tools
 * @property {Notice | null} warning
 * @property {Notice | null} error
 * @property {string} [retrying]       that the model is asked again, until something comes of it
 * @property {string | null} replaces  the turn whose place it took
 * @property {string[]} versions       the turns of this place, oldest first, itself among them
 * @property {ToolCall[]} kept         what earlier versions did, and what stays done
 */

const ENDED = new Set(["done", "failed", "stopped"]);

/** @param {{status: string}} turn */
export const hasEnded = (turn) => ENDED.has(turn.status);

/** @param {{status: string}} turn */
export const isUnderWay = (turn) => turn.status === "queued" || turn.status === "running";

/** @param {ToolCall} call */
export const isAwaited = (call) => call.approval === "awaiting";

/**
 * Complete what the server tells of a turn.
 * @param {any} data
 * @returns {Turn}
 */
export function turnFrom(data) {
  return { n: 0, reasoning: "", replaces: null, versions: [data.id], kept: [], ...data };
}

/**
 * Make a turn of which nothing but its id is known.
 * @param {string} id
 * @returns {Turn}
 */
export function emptyTurn(id) {
  return {
    id, status: "queued", attempt: 0, n: 0, prompt_id: null, prompt_text: "", prompt: null, reply: null, text: "",
    reasoning: "", tools: [], warning: null, error: null, replaces: null, versions: [id], kept: [],
  };
}

/**
 * Return whether an entry of the log says nothing new.
 * @param {Turn} turn
 * @param {any} frame
 */
export function wasSeen(turn, frame) {
  if (hasEnded(turn) && frame.attempt <= turn.attempt) return true;
  if (frame.attempt !== turn.attempt) return frame.attempt < turn.attempt;
  // A snapshot may come from the record, which counts nothing: it replaces what is shown, whatever its number.
  return frame.type !== "turn.snapshot" && frame.n <= turn.n;
}

/**
 * Take an entry of the log into account.
 * @param {Turn} before
 * @param {any} frame
 * @returns {Turn}
 */
export function applied(before, frame) {
  if (frame.type === "model.retrying") return { ...before, retrying: frame.detail };
  const { retrying, ...rest } = before;
  // What a broken response showed is taken back before the model is asked again.
  const turn = retrying !== undefined && frame.type === "turn.resumed" ? before : rest;
  switch (frame.type) {
    case "turn.queued":
      return { ...turn, status: "queued" };
    case "turn.started":
      return { ...turn, status: "running" };
    case "text.delta":
      return { ...turn, status: "running", text: written(turn.text, frame.text, frame.at) };
    case "reasoning.delta":
      return { ...turn, status: "running", reasoning: written(turn.reasoning, frame.text, frame.at) };
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
      return resumed(turn, frame);
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
function resumed(turn, { text, tools, reasoning }) {
  return { ...turn, status: "running", text: text ?? "", tools: tools ?? [], reasoning: reasoning ?? "" };
}

/**
 * @param {Turn} turn
 * @param {any} frame
 * @returns {Turn}
 */
function pictured(turn, { status, text, tools, message, code, detail, reasoning }) {
  const ended = hasEnded({ status });
  return {
    ...turn,
    status,
    text: ended ? "" : (text ?? ""),
    tools: tools ?? [],
    reasoning: reasoning ?? "",
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

// Where the last count ended: a piece mostly begins where the one before it ended.
let counted = { text: "", points: 0, index: 0 };

/**
 * Find where a count of code points ends in UTF-16 units.
 * @param {string} text
 * @param {number} points
 */
function unitIndex(text, points) {
  const goesOn = counted.points <= points && text.startsWith(counted.text);
  let { points: count, index } = goesOn ? counted : { points: 0, index: 0 };
  for (; count < points && index < text.length; count += 1) {
    index += /** @type {number} */ (text.codePointAt(index)) > 0xffff ? 2 : 1;
  }
  counted = { text: text.slice(0, index), points: count, index };
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
