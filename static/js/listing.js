// @ts-check
/** The order and the loaded part of the list of chats. */

/** @typedef {import("./state.js").Conversation} Conversation */
/** @typedef {{place: string, pinned: boolean, updated_at: string}} ListCursor   the end of the loaded part */

/**
 * Insert a chat into the list, or move it. Remove it if it is archived, in the trash, or after the loaded part.
 * @param {Conversation[]} conversations
 * @param {Conversation} conversation
 * @param {ListCursor | null} [end]  null if the whole list is loaded
 */
export function withConversation(conversations, conversation, end = null) {
  const rest = withoutConversation(conversations, conversation.id);
  if (conversation.archived || conversation.trashed || (end && compare(conversation, end) > 0)) return rest;
  return [conversation, ...rest].sort(compare);
}

/**
 * Add the next page of the list.
 * @param {Conversation[]} conversations
 * @param {Conversation[]} page
 */
export function withPage(conversations, page) {
  const knownIds = new Set(conversations.map(({ id }) => id));
  return [...conversations, ...page.filter(({ id }) => !knownIds.has(id))].sort(compare);
}

/**
 * @param {{pinned: boolean, updated_at: string}} a
 * @param {{pinned: boolean, updated_at: string}} b
 */
function compare(a, b) {
  return Number(b.pinned) - Number(a.pinned) || Date.parse(b.updated_at) - Date.parse(a.updated_at);
}

/**
 * @param {Conversation[]} conversations
 * @param {string} id
 */
export const withoutConversation = (conversations, id) => conversations.filter((conversation) => conversation.id !== id);
