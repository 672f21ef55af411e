// @ts-check
/** The chat page: frames and actions change its state, which schedules a render. */

import { question } from "./approval.js";
import { ChatActions } from "./chatactions.js";
import { Composer } from "./composer.js";
import { ConversationList, setUpSearch } from "./conversations.js";
import { DecisionDialog, isAgreement, isRefusal } from "./decision.js";
import { byId } from "./dom.js";
import { setUpDrawers } from "./drawers.js";
import { LoadMore } from "./loadmore.js";
import { plainText } from "./markdown.js";
import { ModelSelect } from "./modelselect.js";
import { clearStorage, Draft, newConversationId, Outbox } from "./outbox.js";
import { ResendQueue } from "./resends.js";
import { StickyScroll } from "./scroll.js";
import { url } from "./site.js";
import { Connection } from "./socket.js";
import { applyFrame, createState, finishRefresh, startRefresh, withConversations, withEarlierTurns } from "./state.js";
import { TaskEdits } from "./taskedits.js";
import { nextSize, TaskPanel } from "./tasks.js";
import { Transcript } from "./transcript.js";
import { awaitsDecision, hasEnded } from "./turn.js";

/** @typedef {import("./state.js").State} State */

const MAX_ANNOUNCED_CHARACTERS = 600;
const REFRESH_RETRY_DELAY = 2_000;
const MAX_RENDER_DELAY = 500;
// If the first connection takes longer, the data in the page may be outdated.
const MAX_DATA_AGE = 5_000;
const EDIT_OUTDATED = "The conversation changed before you sent this edit.";
const DELETED = "This chat was permanently deleted. What you write now starts a new chat.";
const CAN_HOVER = matchMedia("(hover: hover)");

class ChatPage {
  constructor() {
    const data = JSON.parse(byId("state").textContent ?? "");
    if (data.conversation === null) data.conversation_id = newConversationId(data.conversation_id);
    /** @type {State} */
    this.state = createState(data);
    this.zone = byId("chat").dataset.timeZone ?? "UTC";
    this.outbox = new Outbox(this.state.conversation_id);
    this.outbox.removeAccepted(this.state.turns);
    this.resends = new ResendQueue(this.outbox, {
      send: (item) => void this.connection?.send(toFrame(item)), render: () => this.scheduleRender(),
    });
    /** @type {Set<string>} the calls with a sent decision */
    this.deciding = new Set();
    this.online = false;
    this.wasOnline = false;
    this.renderRequest = 0;
    this.title = "";
    /** @type {Promise<boolean> | null} */
    this.loadingEarlier = null;
    /** @type {Promise<void> | null} */
    this.refreshing = null;
    /** How many open tasks to request; 0 for the server's default. */
    this.openTaskLimit = Number(new URLSearchParams(location.search).get("tasks")) || 0;
    this.build();
  }

  build() {
    const { zone } = this;
    const id = this.state.conversation_id;
    const edits = new TaskEdits({
      draw: () => this.scheduleRender(),
      revision: () => this.state.tasks_revision,
      signedOut: () => this.showConnectionError("signed out"),
    });
    this.tasks = new TaskPanel({
      edits, zone, more: () => this.loadMoreTasks(), draw: () => this.scheduleRender(), draft: (name) => new Draft(`task:${name}`),
    });
    this.conversations = new ConversationList(zone);
    this.chatActions = new ChatActions({
      changed: (conversation) => this.onFrame({ type: "conversation.updated", conversation }),
      signedOut: () => this.showConnectionError("signed out"),
      zone,
    });
    this.modelSelect = new ModelSelect({
      changed: (conversation) => this.onFrame({ type: "conversation.updated", conversation }),
      signedOut: () => this.showConnectionError("signed out"),
      warn: (detail) => this.warn(detail),
    });
    this.decision = new DecisionDialog(zone);
    const draft = new Draft(this.state.conversation ? id : "new");
    this.composer = new Composer({ send: (text) => this.send(text), stop: () => this.stop() }, draft);
    this.transcript = new Transcript(byId("transcript"), {
      retry: (turnId) => this.retry(turnId),
      decide: (turnId, callId, approve) => this.decide(turnId, callId, approve),
      save: (messageId, text) => this.sendEdit(messageId, text),
      resend: (item) => void this.confirmDecline("send", () => this.resend(item), { decideFirst: item.edit_of === null }),
      edit: (item) => this.editItem(item),
      discard: (item) => this.discard(item),
      keepEdit: (edit) => this.keepEdit(edit),
      undo: (change) => void edits.undo(change),
      zone,
      limit: this.composer.limit,
    });
    this.moreChats = new LoadMore(byId("more-chats"), () => this.loadChats());
    this.earlier = new LoadMore(byId("earlier"), () => this.loadEarlier());
    this.scroll = new StickyScroll(byId("scroller"), byId("transcript"), byId("to-end"));
    this.connection = new Connection(url(`/ws/chat/${id}/`), {
      onFrame: (frame) => this.onFrame(frame),
      onState: (state) => this.showConnection(state),
      onError: (error) => this.showConnectionError(error),
    });
  }

  start() {
    setUpDrawers();
    setUpSearch(this.zone);
    for (const example of document.querySelectorAll("[data-example]")) {
      example.addEventListener("click", () => void this.send(example.textContent ?? ""));
    }
    document.querySelector("[data-signs-out]")?.addEventListener("submit", clearStorage);
    document.getElementById("later")?.remove();
    this.render();
    this.scroll?.follow();
    void this.showLinkTarget();
    this.moreChats?.watch();
    this.tasks?.more?.watch();
    this.earlier?.watch();
    this.connection?.start();
    // Relative times and overdue marks change with time.
    setInterval(() => this.scheduleRender(), 60_000);
    if (CAN_HOVER.matches) this.composer?.focus();
  }

  /** Scroll to the message or turn in the URL; open the earlier version of a turn that was replaced. */
  async showLinkTarget() {
    const query = new URLSearchParams(location.search);
    const message = query.get("message");
    const turnId = query.get("turn") ?? /^#turn-([0-9a-f-]{36})$/.exec(location.hash)?.[1];
    if (!message && !turnId) return;
    const isTarget = (/** @type {import("./turn.js").Turn} */ turn) =>
      message ? turn.prompt_id === message || turn.reply?.id === message : turn.id === turnId;
    const isCurrent = message || query.has("turn");
    while (!this.state.turns.some(isTarget)) {
      if (!isCurrent) return location.replace(url(`/c/${this.state.conversation_id}/versions/${turnId}/#turn-${turnId}`));
      if (!this.state.earlier || !(await this.loadEarlier())) return;
    }
    // The turn may be replaced later, so a reload must not search for it again.
    history.replaceState(null, "", location.pathname);
    if (this.scroll) this.scroll.following = false;
    highlight(message ? document.querySelector(`[data-testid="message"][data-id="${message}"]`) : document.getElementById(`turn-${turnId}`));
  }

  /** Load earlier turns; return whether there were any. */
  loadEarlier() {
    this.loadingEarlier ??= this.fetchEarlier().finally(() => (this.loadingEarlier = null));
    return this.loadingEarlier;
  }

  async fetchEarlier() {
    const before = this.state.earlier;
    if (before === null) return false;
    const data = await this.fetchJson(url(`/c/${this.state.conversation_id}/turns/?before=${before}`));
    if (data === null) return false;
    this.state = withEarlierTurns(this.state, data, before);
    this.scroll?.preservePosition(() => this.render());
    return true;
  }

  async loadChats() {
    const after = this.state.conversations_after;
    const data = after && (await this.fetchJson(url(`/chats/?after=${encodeURIComponent(after.place)}`)));
    if (!after || data === null) return false;
    this.setState(withConversations(this.state, data, after));
    return true;
  }

  /**
   * Request JSON; return null on failure.
   * @param {string} path
   */
  async fetchJson(path) {
    try {
      const response = await fetch(path, { headers: { accept: "application/json" } });
      if (response.redirected) this.showConnectionError("signed out");
      return response.ok && !response.redirected ? await response.json() : null;
    } catch {
      return null;
    }
  }

  /**
   * Send a message; return whether it was sent, or was a decision.
   * @param {string} text
   */
  async send(text) {
    const answer = await this.confirmDecline("send", () => this.sendMessage(text), { text, decideFirst: true });
    return answer === "decline" || (answer === "approve" && isAgreement(text)) || (answer === "decline only" && isRefusal(text));
  }

  /**
   * Run an action that would decline the pending approvals. If there are any, ask first.
   * @param {string} verb
   * @param {() => void} act
   * @param {{text?: string, decideFirst?: boolean}} [options]   `text` is the message, which may be a decision itself; with
   *   `decideFirst`, declining is sent as a decision before the action, so that the assistant replies to it. Without, the action
   *   replaces the waiting turn.
   * @returns {Promise<import("./decision.js").Answer>}   `decline` if the action was run
   */
  async confirmDecline(verb, act, { text = "", decideFirst = false } = {}) {
    const approvals = this.pendingApprovals();
    const answer = approvals.length === 0 || !this.decision ? "decline" : await this.decision.ask(this.questions(), { verb, text });
    const isDecision = answer === "approve" || answer === "decline only" || (answer === "decline" && decideFirst);
    const sent = isDecision ? approvals.map(({ turn, call }) => this.decide(turn, call.call_id, answer === "approve")) : [];
    if (answer === "decline") act();
    else if (!sent.every(Boolean)) return "cancel";
    return answer;
  }

  /** Return the calls that wait for a decision, except those with a sent decision. */
  pendingApprovals() {
    const waiting = this.state.turns.filter((turn) => turn.status === "waiting");
    return waiting.flatMap((turn) => turn.tools
      .filter((call) => awaitsDecision(call) && !this.deciding.has(call.call_id))
      .map((call) => ({ turn: turn.id, call })));
  }

  questions() {
    return this.pendingApprovals().map(({ call }) => question(call, this.state.tasks));
  }

  /** @param {string} text */
  sendMessage(text) {
    this.resends.send(this.outbox.add({ text, ...this.modelSelect?.firstMessageFields }));
    this.scroll?.follow();
    this.composer?.focus();
    this.scheduleRender();
  }

  /** Load more open tasks; return whether there were any. */
  async loadMoreTasks() {
    const before = this.state.tasks.length;
    this.openTaskLimit = nextSize(this.state.tasks.filter((task) => !task.is_completed).length);
    // A running request has the old limit.
    await this.refreshing;
    await this.refresh();
    return this.state.tasks.length > before;
  }

  /** @param {string} turnId */
  retry(turnId) {
    void this.confirmDecline("regenerate", () => {
      this.connection?.send(toFrame(this.outbox.add({ retry_of: turnId })));
      if (CAN_HOVER.matches) this.composer?.focus();
      this.scheduleRender();
    });
  }

  /**
   * Send an edited message; return whether it was sent.
   * @param {string} messageId
   * @param {string} text
   */
  async sendEdit(messageId, text) {
    const answer = await this.confirmDecline("send", () => {
      for (const item of this.outbox.items) if (item.edit_of === messageId) this.outbox.remove(item.client_id);
      this.resends.send(this.outbox.add({ text, edit_of: messageId }));
      if (CAN_HOVER.matches) this.composer?.focus();
      this.scheduleRender();
    });
    return answer === "decline";
  }

  /**
   * Send a decision; return whether it was sent.
   * @param {string} turnId
   * @param {string} callId
   * @param {boolean} approve
   */
  decide(turnId, callId, approve) {
    if (!this.connection?.send({ type: "approval.decide", turn_id: turnId, call_id: callId, approve })) return false;
    this.deciding.add(callId);
    this.scheduleRender();
    return true;
  }

  /** @param {import("./outbox.js").OutboxItem} item */
  resend(item) {
    if (!this.outbox.items.some((other) => other.client_id === item.client_id)) return;
    this.outbox.reject(item.client_id, null);
    this.resends.send(item);
    this.scheduleRender();
  }

  /** @param {import("./outbox.js").OutboxItem} item */
  editItem(item) {
    if (item.edit_of !== null && this.transcript?.openEditor(item.edit_of, item.text ?? "")) return;
    this.outbox.remove(item.client_id);
    this.resends.sendNext();
    this.composer?.append(item.text ?? "");
    this.composer?.focus();
    this.scheduleRender();
  }

  /**
   * Keep the unsaved edit of a message in a removed turn.
   * @param {{edit_of: string, text: string}} edit
   */
  keepEdit(edit) {
    this.outbox.reject(this.outbox.add(edit).client_id, EDIT_OUTDATED);
    this.scheduleRender();
  }

  /** @param {import("./outbox.js").OutboxItem} item */
  discard(item) {
    this.outbox.remove(item.client_id);
    this.resends.sendNext();
    this.composer?.focus();
    this.scheduleRender();
  }

  stop() {
    const running = this.state.turns.find((turn) => turn.status === "running" || turn.status === "waiting");
    if (running) this.connection?.send({ type: "turn.stop", turn_id: running.id });
  }

  /** @param {any} frame */
  onFrame(frame) {
    if (frame.type === "error") this.onErrorFrame(frame);
    if (frame.type === "message.accepted") this.onAccepted(frame);
    if (frame.type === "conversation.deleted" && frame.id === this.state.conversation_id) this.warn(DELETED);
    this.setState(applyFrame(this.state, frame));
    if (frame.type === "ready") this.onReady(frame);
    if (hasEnded({ status: frame.type?.replace("turn.", "").replace("finished", "done") })) this.announce(frame);
    if (frame.type === "approval.requested") this.announceQuestion(frame);
    if (frame.type === "model.retrying") byId("announcer").textContent = frame.detail;
    if (frame.type === "approval.decided") this.deciding.delete(frame.call_id);
  }

  /** @param {State} state */
  setState(state) {
    if (state === this.state) return;
    this.state = state;
    if (state.stale) void this.refresh();
    this.scheduleRender();
  }

  /**
   * Continue to follow the logs of active turns, and send the unsent items.
   * @param {any} frame
   */
  onReady(frame) {
    for (const { id } of frame.turns) {
      const turn = this.state.turns.find((known) => known.id === id);
      if (turn && turn.n > 0) {
        this.connection?.send({ type: "log.follow", turn_id: id, attempt: turn.attempt, after: turn.n });
      }
    }
    for (const item of this.outbox.items) {
      if (!item.refused && !item.held) this.connection?.send(toFrame(item));
    }
    this.resends.reconnected();
    // The lists of tasks and chats may have changed, too.
    if (this.wasOnline || performance.now() > MAX_DATA_AGE) void this.refresh();
    this.wasOnline = true;
  }

  /** Request the whole state. */
  refresh() {
    this.refreshing ??= this.fetchState().then((isStale) => {
      this.refreshing = null;
      if (isStale) void this.refresh();
    });
    return this.refreshing;
  }

  /** Replace the state by the server's; return whether it is stale again. */
  async fetchState() {
    const requested = startRefresh(this.state);
    this.state = requested;
    try {
      const response = await fetch(this.statePath(requested), { headers: { accept: "application/json" } });
      if (response.redirected) this.showConnectionError("signed out");
      else if (response.status === 404) this.onFrame({ type: "conversation.deleted", id: requested.conversation_id });
      else if (!response.ok) throw new Error(`the server returned ${response.status}`);
      if (response.redirected || !response.ok) return false;
      const data = await response.json();
      this.state = finishRefresh(this.state, data, requested);
      this.outbox.removeAccepted(this.state.turns);
      this.resends.sendNext();
      this.scheduleRender();
      return this.state.stale;
    } catch {
      // The network or the server failed.
      this.state = { ...this.state, stale: true };
      setTimeout(() => this.online && this.state.stale && this.refresh(), REFRESH_RETRY_DELAY);
      return false;
    }
  }

  /**
   * Return the URL of a state with at least as many turns, chats and tasks as are loaded.
   * @param {State} state
   */
  statePath({ conversation, conversation_id, conversations, turns }) {
    const query = new URLSearchParams({ chats: String(conversations.length) });
    if (this.openTaskLimit) query.set("tasks", String(this.openTaskLimit));
    if (turns.length > 0) query.set("since", turns[0].id);
    return url(`${conversation || turns.length ? `/c/${conversation_id}` : ""}/state/?${query}`);
  }

  /** @param {any} frame */
  onAccepted(frame) {
    const own = this.outbox.items.some((item) => item.client_id === frame.client_id);
    this.outbox.remove(frame.client_id);
    this.resends.sendNext();
    // A turn that replaces another is the last one.
    if (own && frame.turn.replaces) this.scroll?.follow();
    const path = url(`/c/${this.state.conversation_id}/`);
    if (location.pathname !== path) {
      history.replaceState(null, "", path);
      if (this.composer) {
        const text = this.composer.field.value;
        this.composer.draft.text = "";
        this.composer.draft = new Draft(this.state.conversation_id);
        this.composer.draft.text = text;
      }
    }
  }

  /** @param {any} frame */
  onErrorFrame({ client_id, detail, code, retry_after }) {
    if (client_id === undefined || client_id === null) return this.handleDecisionError(code) || this.warn(detail);
    const item = this.outbox.items.find((other) => other.client_id === client_id);
    if (item?.text === null) {
      this.outbox.remove(client_id);
      this.warn(detail);
    } else {
      if (!this.resends.first) byId("announcer").textContent = detail;
      if (item && retry_after) this.resends.hold(item, detail, retry_after);
      else this.outbox.reject(client_id, detail);
      this.resends.sendNext();
    }
    this.scheduleRender();
  }

  /**
   * Handle the error of a decision that was made elsewhere or is obsolete; return whether it was one. Without a `client_id`, only
   * a decision can be in conflict, even if its call is no longer in `deciding`.
   * @param {string} code
   */
  handleDecisionError(code) {
    if (code !== "conflict" && !(code === "not_found" && this.deciding.size > 0)) return false;
    this.deciding.clear();
    void this.refresh();
    this.scheduleRender();
    return true;
  }

  /** @param {any} call */
  announceQuestion(call) {
    const { text, tasks } = question(call, this.state.tasks);
    byId("announcer").textContent = `Your decision is needed: ${text}`;
    // While the call waits, a refresh also brings its tasks that are not loaded.
    const { open, completed } = this.state.task_counts;
    const hasAllTasks = this.state.tasks.length >= open + completed;
    if (!hasAllTasks && tasks?.some(({ title }) => title === null)) this.setState({ ...this.state, stale: true });
  }

  /** @param {any} frame */
  announce({ type, message, detail }) {
    // Parse more than is announced: the cut may split a Markdown sign.
    const reply = plainText(message?.text.slice(0, 1.5 * MAX_ANNOUNCED_CHARACTERS) ?? "").slice(0, MAX_ANNOUNCED_CHARACTERS);
    const text = {
      "turn.finished": `Threadkeeper: ${reply}`,
      "turn.failed": detail,
      "turn.stopped": "Reply stopped.",
    };
    byId("announcer").textContent = text[/** @type {keyof typeof text} */ (type)] ?? "";
  }

  /** @param {import("./socket.js").ConnectionState} state */
  showConnection(state) {
    this.online = state === "online";
    // A decision may be lost with the connection; if it arrived, a frame reports it.
    if (!this.online) this.deciding.clear();
    const texts = { online: "Connected", connecting: this.wasOnline ? "Reconnecting" : "Connecting", offline: "Offline" };
    byId("connection").dataset.state = state;
    byId("connection-text").textContent = texts[state];
    this.scheduleRender();
  }

  /** @param {import("./socket.js").ConnectionError | null} error */
  showConnectionError(error) {
    if (error === null) return this.warn("");
    const texts = {
      "signed out": "You are signed out.",
      "not found": "This chat was deleted, or belongs to another user.",
      "too many": "You have this open in too many tabs. Close some, and this one reconnects by itself.",
    };
    this.warn(texts[error], error !== "too many");
    if (error === "signed out") this.showSignInLink();
  }

  showSignInLink() {
    const link = document.createElement("a");
    link.href = `${byId("chat").dataset.loginUrl}?next=${encodeURIComponent(location.pathname)}`;
    link.textContent = "Sign in again";
    byId("banner").append(link);
  }

  /**
   * @param {string} text  empty hides the banner
   * @param {boolean} [isError]
   */
  warn(text, isError = false) {
    const banner = byId("banner");
    banner.hidden = text === "";
    banner.textContent = text;
    banner.classList.toggle("banner--danger", isError);
  }

  scheduleRender() {
    if (this.renderRequest) return;
    const render = () => {
      cancelAnimationFrame(this.renderRequest);
      clearTimeout(timer);
      this.renderRequest = 0;
      this.render();
    };
    // A background tab gets no animation frames, but its title must change.
    const timer = setTimeout(render, MAX_RENDER_DELAY);
    this.renderRequest = requestAnimationFrame(render);
  }

  render() {
    const { state } = this;
    const held = (/** @type {import("./outbox.js").OutboxItem} */ item) => this.resends.statusOf(item);
    this.transcript?.show(state, { outbox: this.outbox.items, held, online: this.online, deciding: this.deciding });
    this.tasks?.show(state);
    this.earlier?.show(state.earlier !== null);
    this.conversations?.show(state.conversations, state.conversation_id);
    this.moreChats?.show(state.conversations_after !== null);
    this.chatActions?.show(state);
    this.modelSelect?.show(state);
    this.composer?.showStop(state.turns.some((turn) => turn.status === "running" || turn.status === "waiting"));
    // The questions may have been decided in another tab.
    this.decision?.show(this.questions());
    byId("empty").hidden = state.turns.length > 0 || this.outbox.items.length > 0;
    this.showTitle(state.conversation?.title || "New chat", state.waiting.length);
    this.scroll?.update();
  }

  /**
   * @param {string} title
   * @param {number} waiting  the number of chats that wait for a decision
   */
  showTitle(title, waiting) {
    const fullTitle = `${waiting > 0 ? `(${waiting}) ` : ""}${title} · Threadkeeper`;
    if (fullTitle === this.title) return;
    this.title = fullTitle;
    byId("title").textContent = byId("title").title = title;
    document.title = fullTitle;
    showWaitingBadge(waiting);
  }
}

/** @param {number} waiting  the number of chats that wait for a decision */
function showWaitingBadge(waiting) {
  const badge = byId("chats-badge");
  badge.textContent = String(waiting);
  badge.hidden = waiting === 0;
  badge.parentElement?.setAttribute("aria-label", waiting ? `Chats: ${waiting} waiting for your decision` : "Chats");
}

/**
 * Scroll to an element, highlight and focus it.
 * @param {Element | null} element
 */
function highlight(element) {
  if (!(element instanceof HTMLElement)) return;
  element.tabIndex = -1;
  element.classList.add("highlighted");
  element.scrollIntoView({ block: "center" });
  element.focus({ preventScroll: true });
}

/** @param {import("./outbox.js").OutboxItem} item */
function toFrame({ client_id, text, edit_of, retry_of, model }) {
  if (retry_of !== null) return { type: "turn.retry", client_id, turn_id: retry_of };
  if (edit_of !== null) return { type: "message.edit", client_id, message_id: edit_of, text };
  return { type: "message.send", client_id, text, ...(model && { model }) };
}

new ChatPage().start();
