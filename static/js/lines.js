// @ts-check
/** Which chats the list at the left holds, and in what order. */

/** @typedef {import("./state.js").Conversation} Conversation */

/**
 * @typedef {{place: string, pinned: boolean, updated_at: string}} End   up to where the list is loaded
 */

/**
 * Put a chat where it belongs in the list, or take it out: what is in the archive or the trash is not in it, nor what comes
 * after the loaded part.
 * @param {Conversation[]} lines
 * @param {Conversation} line
 * @param {End | null} [end]  null where all is loaded
 */
export function withLine(lines, line, end = null) {
  const others = withoutLine(lines, line.id);
  if (line.archived || line.trashed || (end && compare(line, end) > 0)) return others;
  return [line, ...others].sort(compare);
}

/**
 * Add the next part of the list.
 * @param {Conversation[]} lines
 * @param {Conversation[]} more
 */
export function withMore(lines, more) {
  const known = new Set(lines.map(({ id }) => id));
  return [...lines, ...more.filter(({ id }) => !known.has(id))].sort(compare);
}

/**
 * @param {{pinned: boolean, updated_at: string}} a
 * @param {{pinned: boolean, updated_at: string}} b
 */
function compare(a, b) {
  return Number(b.pinned) - Number(a.pinned) || Date.parse(b.updated_at) - Date.parse(a.updated_at);
}

/**
 * @param {Conversation[]} lines
 * @param {string} id
 */
export const withoutLine = (lines, id) => lines.filter((line) => line.id !== id);
