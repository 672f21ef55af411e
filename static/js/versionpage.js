// @ts-check
/** The read-only page of an earlier version of a conversation. */

import { ConversationList, setUpSearch } from "./conversations.js";
import { byId } from "./dom.js";
import { setUpDrawers } from "./drawers.js";
import { setUpMenus } from "./menu.js";
import { clearStorage } from "./outbox.js";
import { createState } from "./state.js";
import { TaskPanel } from "./tasks.js";
import { Transcript } from "./transcript.js";

const state = createState(JSON.parse(byId("state").textContent ?? ""));
const zone = byId("chat").dataset.timeZone ?? "UTC";
const noop = () => {};
const actions = {
  retry: noop, decide: noop, save: async () => false, resend: noop, edit: noop, discard: noop, keepEdit: noop, undo: null, zone, limit: 0,
};

setUpDrawers();
setUpMenus();
setUpSearch(zone);
document.querySelector("[data-signs-out]")?.addEventListener("submit", clearStorage);
new Transcript(byId("transcript"), actions).show(state, { outbox: [], online: false, deciding: new Set() });
new TaskPanel({ edits: null, zone }).show(state);
new ConversationList(zone).show(state.conversations, state.conversation_id);
const target = document.getElementById(location.hash.slice(1)) ?? document.querySelector(`[data-id="${CSS.escape(location.hash.replace("#message-", ""))}"]`);
target?.scrollIntoView();
target?.classList.add("highlighted");
