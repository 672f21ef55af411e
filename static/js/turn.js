// @ts-check
/** The state of one turn, and the pure functions that apply its log entries. Nothing is mutated. */

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
 * @property {number} n       the number of the attempt's last applied log entry
 * @property {string | null} prompt_id    the id of the user's message
 * @property {string} prompt_text
 * @property {Message | null} prompt
 * @property {Message | null} reply
 * @property {string} text    the reply so far, until `reply` is set
 * @property {string} reasoning  the model's reasoning, which is not part of the reply
 * @property {ToolCall[]} tools
 * @property {Notice | null} warning
 * @property {Notice | null} error
 * @property {string} [retrying]       the text about a retried model request, until the next output
 * @property {string | null} replaces  the id of the turn that it replaced
 * @property {string[]} versions       the ids of its versions, oldest first, including its own
 * @property {ToolCall[]} kept         the calls of earlier versions; their changes stay
 */

const ENDED = new Set(["done", "failed", "stopped"]);

/** @param {{status: string}} turn */
export const hasEnded = (turn) => ENDED.has(turn.status);

/** @param {{status: string}} turn */
export const isQueuedOrRunning = (turn) => turn.status === "queued" || turn.status === "running";

/** @param {ToolCall} call */
export const awaitsDecision = (call) => call.approval === "awaiting";

/**
 * Make a turn from its JSON form.
 * @param {any} data
 * @returns {Turn}
 */
export function turnFrom(data) {
  return { n: 0, reasoning: "", replaces: null, versions: [data.id], kept: [], ...data };
}

/**
 * Make a turn of which only the id is known.
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
 * Return whether a log entry is already part of a turn.
 * @param {Turn} turn
 * @param {any} frame
 */
export function isApplied(turn, frame) {
  if (hasEnded(turn) && frame.attempt <= turn.attempt) return true;
  if (frame.attempt !== turn.attempt) return frame.attempt < turn.attempt;
  // A snapshot from the record does not count log entries, so it is applied whatever its number.
  return frame.type !== "turn.snapshot" && frame.n <= turn.n;
}

/**
 * Apply a log entry.
 * @param {Turn} current
 * @param {any} frame
 * @returns {Turn}
 */
export function applyLogEntry(current, frame) {
  if (frame.type === "model.retrying") return { ...current, retrying: frame.detail };
  const { retrying, ...rest } = current;
  // `turn.resumed` during a retry removes the text of the broken response; the retry continues.
  const turn = retrying !== undefined && frame.type === "turn.resumed" ? current : rest;
  switch (frame.type) {
    case "turn.queued":
      return { ...turn, status: "queued" };
    case "turn.started":
      return { ...turn, status: "running" };
    case "text.delta":
      return { ...turn, status: "running", text: applyDelta(turn.text, frame.text, frame.at) };
    case "reasoning.delta":
      return { ...turn, status: "running", reasoning: applyDelta(turn.reasoning, frame.text, frame.at) };
    case "tool.started":
      return { ...turn, status: "running", tools: withCall(turn.tools, frame) };
    case "tool.finished":
      return { ...turn, tools: withOutput(turn.tools, frame) };
    case "approval.requested":
      return { ...turn, status: "waiting", tools: withApprovalRequest(turn.tools, frame) };
    case "approval.decided":
      return withDecision(turn, frame);
    case "warning":
      return { ...turn, warning: { code: frame.code, detail: frame.detail } };
    case "turn.resumed":
      return withResumedState(turn, frame);
    case "turn.snapshot":
      return withSnapshot(turn, frame);
    case "turn.finished":
      return { ...turn, status: "done", text: "", reply: frame.message, warning: frame.warning ?? turn.warning };
    case "turn.stopped":
      return { ...turn, status: "stopped", text: "", reply: frame.message ?? null, warning: frame.warning ?? turn.warning };
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
function withResumedState(turn, { text, tools, reasoning }) {
  return { ...turn, status: "running", text: text ?? "", tools: tools ?? [], reasoning: reasoning ?? "" };
}

/**
 * @param {Turn} turn
 * @param {any} frame
 * @returns {Turn}
 */
function withSnapshot(turn, { status, text, tools, message, code, detail, reasoning, warning }) {
  const ended = hasEnded({ status });
  return {
    ...turn,
    status,
    text: ended ? "" : (text ?? ""),
    tools: tools ?? [],
    reasoning: reasoning ?? "",
    reply: message ?? null,
    warning: warning ?? turn.warning,
    error: status === "failed" ? { code: code ?? "", detail: detail ?? "" } : null,
  };
}

/**
 * Apply a text delta at an offset in Unicode code points. A repeated delta changes nothing; a different one replaces the rest of
 * the text.
 * @param {string} text
 * @param {string} delta
 * @param {number} offset
 * @returns {string}
 */
export function applyDelta(text, delta, offset) {
  const index = utf16Index(text, offset);
  if (text.startsWith(delta, index)) return text;
  return text.slice(0, index) + delta;
}

// The last result of utf16Index: most deltas begin where the previous one ended.
let cached = { text: "", offset: 0, index: 0 };

/**
 * Convert an offset in code points to an index in UTF-16 code units.
 * @param {string} text
 * @param {number} offset
 */
function utf16Index(text, offset) {
  const isPrefix = cached.offset <= offset && text.startsWith(cached.text);
  let { offset: count, index } = isPrefix ? cached : { offset: 0, index: 0 };
  for (; count < offset && index < text.length; count += 1) {
    index += /** @type {number} */ (text.codePointAt(index)) > 0xffff ? 2 : 1;
  }
  cached = { text: text.slice(0, index), offset: count, index };
  return index;
}

/**
 * @param {ToolCall[]} tools
 * @param {any} frame
 * @returns {ToolCall[]}
 */
function withCall(tools, frame) {
  if (tools.some((call) => call.call_id === frame.call_id)) return tools;
  return [...tools, { call_id: frame.call_id, name: frame.name, arguments: frame.arguments }];
}

/**
 * @param {ToolCall[]} tools
 * @param {any} frame
 * @returns {ToolCall[]}
 */
function withApprovalRequest(tools, frame) {
  return withCall(tools, frame).map((call) => (call.call_id === frame.call_id ? { ...call, approval: "awaiting" } : call));
}

/**
 * @param {Turn} turn
 * @param {any} frame
 * @returns {Turn}
 */
function withDecision(turn, { call_id, approved, by }) {
  const approval = approved ? /** @type {const} */ ("approved") : /** @type {const} */ ("declined");
  const tools = turn.tools.map((call) => (call.call_id === call_id ? { ...call, approval, by } : call));
  // The turn continues after its last decision, unless a new message superseded it: then it ends.
  const continues = by !== "superseded" && !tools.some(awaitsDecision);
  return { ...turn, tools, status: continues ? "running" : turn.status };
}

/**
 * @param {ToolCall[]} tools
 * @param {any} frame
 * @returns {ToolCall[]}
 */
function withOutput(tools, frame) {
  return tools.map((call) => {
    if (call.call_id !== frame.call_id) return call;
    return frame.error === undefined || frame.error === null
      ? { ...call, output: frame.output }
      : { ...call, error: frame.error };
  });
}
