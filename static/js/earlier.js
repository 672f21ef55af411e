// @ts-check
/** The page of an earlier version: the conversation as it was, to be read. Nothing is sent from here. */

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
const nothing = () => {};
const actions = {
  retry: nothing, decide: nothing, save: async () => false, resend: nothing, edit: nothing, discard: nothing, keepEdit: nothing, undo: null, zone, limit: 0,
};

setUpDrawers();
setUpMenus();
setUpSearch(zone);
document.querySelector("[data-signs-out]")?.addEventListener("submit", clearStorage);
new Transcript(byId("transcript"), actions).show(state, { outbox: [], online: false, deciding: new Set() });
new TaskPanel({ edits: null, zone }).show(state);
new ConversationList(zone).show(state.conversations, state.conversation_id);
const place = document.getElementById(location.hash.slice(1)) ?? document.querySelector(`[data-id="${CSS.escape(location.hash.replace("#message-", ""))}"]`);
place?.scrollIntoView();
place?.classList.add("highlighted");
