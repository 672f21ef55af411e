// @ts-check
/** Which chats the list at the left holds, and in what order. */

/** @typedef {import("./state.js").Conversation} Conversation */

/**
 * Put a chat where it belongs in the list, or take it out: what is in the archive or the trash is not in it.
 * @param {Conversation[]} lines
 * @param {Conversation} line
 */
export function withLine(lines, line) {
  const others = withoutLine(lines, line.id);
  if (line.archived || line.trashed) return others;
  return [line, ...others].sort((a, b) => Number(b.pinned) - Number(a.pinned) || Date.parse(b.updated_at) - Date.parse(a.updated_at));
}

/**
 * @param {Conversation[]} lines
 * @param {string} id
 */
export const withoutLine = (lines, id) => lines.filter((line) => line.id !== id);
