// @ts-check
/** The chat page: one state, changed by frames and by the person, drawn at most once a frame of the screen. */

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

const ANNOUNCED = 600;
const REFRESH_AGAIN = 2_000;
const DRAWN_WITHIN = 500;
// After so long without a connection, what the page was loaded with is old.
const LATE = 5_000;
const MOVED_ON = "The conversation went another way meanwhile.";
const DELETED = "This chat was permanently deleted. What you write now starts a new chat.";
const HOVERS = matchMedia("(hover: hover)");

class ChatPage {
  constructor() {
    const data = JSON.parse(byId("state").textContent ?? "");
    if (data.conversation === null) data.conversation_id = newConversationId(data.conversation_id);
    /** @type {State} */
    this.state = createState(data);
    this.zone = byId("chat").dataset.timeZone ?? "UTC";
    this.outbox = new Outbox(this.state.conversation_id);
    this.outbox.removeAccepted(this.state.turns);
    this.resends = new ResendQueue(this.outbox, { send: (item) => void this.connection?.send(toFrame(item)), render: () => this.draw() });
    /** @type {Set<string>} the calls about which a decision is on its way */
    this.deciding = new Set();
    this.online = false;
    this.wasOnline = false;
    this.drawing = 0;
    this.title = "";
    /** @type {Promise<boolean> | null} */
    this.loadingEarlier = null;
    /** @type {Promise<void> | null} */
    this.refreshing = null;
    /** How many open tasks are asked for; 0 leaves that to the server. */
    this.openTasks = Number(new URLSearchParams(location.search).get("tasks")) || 0;
    this.build();
  }

  build() {
    const { zone } = this;
    const id = this.state.conversation_id;
    const edits = new TaskEdits({
      draw: () => this.draw(),
      revision: () => this.state.tasks_revision,
      signedOut: () => this.showConnectionError("signed out"),
    });
    this.tasks = new TaskPanel({
      edits, zone, more: () => this.showMoreTasks(), draw: () => this.draw(), draft: (name) => new Draft(`task:${name}`),
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
      save: (messageId, text) => this.save(messageId, text),
      resend: (item) => void this.mayDecline("send", () => this.resend(item), { decides: item.edit_of === null }),
      edit: (item) => this.edit(item),
      discard: (item) => this.discard(item),
      keepEdit: (edit) => this.rescue(edit),
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
    void this.goToPlace();
    this.moreChats?.watch();
    this.tasks?.more?.watch();
    this.earlier?.watch();
    this.connection?.start();
    // Relative times and what is overdue change by themselves.
    setInterval(() => this.draw(), 60_000);
    if (HOVERS.matches) this.composer?.focus();
  }

  /** Show the message or turn that the address names; a turn that is not current any more is in an earlier version. */
  async goToPlace() {
    const query = new URLSearchParams(location.search);
    const message = query.get("message");
    const turnId = query.get("turn") ?? /^#turn-([0-9a-f-]{36})$/.exec(location.hash)?.[1];
    if (!message && !turnId) return;
    const isIt = (/** @type {import("./turn.js").Turn} */ turn) =>
      message ? turn.prompt_id === message || turn.reply?.id === message : turn.id === turnId;
    const isCurrent = message || query.has("turn");
    while (!this.state.turns.some(isIt)) {
      if (!isCurrent) return location.replace(url(`/c/${this.state.conversation_id}/versions/${turnId}/#turn-${turnId}`));
      if (!this.state.earlier || !(await this.loadEarlier())) return;
    }
    // Once there, the address is that of the conversation again: the turn may be replaced.
    history.replaceState(null, "", location.pathname);
    if (this.scroll) this.scroll.following = false;
    showPlace(message ? document.querySelector(`[data-testid="message"][data-id="${message}"]`) : document.getElementById(`turn-${turnId}`));
  }

  /** Load the turns before those that are there; tell whether some came. */
  loadEarlier() {
    this.loadingEarlier ??= this.fetchEarlier().finally(() => (this.loadingEarlier = null));
    return this.loadingEarlier;
  }

  async fetchEarlier() {
    const before = this.state.earlier;
    if (before === null) return false;
    const data = await this.ask(url(`/c/${this.state.conversation_id}/turns/?before=${before}`));
    if (data === null) return false;
    this.state = withEarlierTurns(this.state, data, before);
    this.scroll?.preservePosition(() => this.render());
    return true;
  }

  async loadChats() {
    const after = this.state.conversations_after;
    const data = after && (await this.ask(url(`/chats/?after=${encodeURIComponent(after.place)}`)));
    if (!after || data === null) return false;
    this.change(withConversations(this.state, data, after));
    return true;
  }

  /**
   * Ask the server for JSON; null where it does not answer.
   * @param {string} path
   */
  async ask(path) {
    try {
      const answer = await fetch(path, { headers: { accept: "application/json" } });
      if (answer.redirected) this.showConnectionError("signed out");
      return answer.ok && !answer.redirected ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  /**
   * Send a message; return whether it is sent, or was a decision.
   * @param {string} text
   */
  async send(text) {
    const answer = await this.mayDecline("send", () => this.deliver(text), { text, decides: true });
    return answer === "decline" || (answer === "approve" && isAgreement(text)) || (answer === "decline only" && isRefusal(text));
  }

  /**
   * Do what would decline the waiting questions; ask first if there are some.
   * @param {string} verb
   * @param {() => void} act
   * @param {{text?: string, decides?: boolean}} [how]   what would be sent, which may be an answer; and whether to decline by a
   *   decision first, so that the assistant replies to it. What replaces the turn that waits ends it instead.
   * @returns {Promise<import("./decision.js").Answer>}   `decline` where it is done
   */
  async mayDecline(verb, act, { text = "", decides = false } = {}) {
    const awaited = this.awaited();
    const answer = awaited.length === 0 || !this.decision ? "decline" : await this.decision.ask(this.questions(), { verb, text });
    const isDecision = answer === "approve" || answer === "decline only" || (answer === "decline" && decides);
    const decided = isDecision ? awaited.map(({ turn, call }) => this.decide(turn, call.call_id, answer === "approve")) : [];
    if (answer === "decline") act();
    else if (!decided.every(Boolean)) return "cancel";
    return answer;
  }

  /** The calls that wait for a decision, except those whose decision was sent. */
  awaited() {
    const waiting = this.state.turns.filter((turn) => turn.status === "waiting");
    return waiting.flatMap((turn) => turn.tools
      .filter((call) => awaitsDecision(call) && !this.deciding.has(call.call_id))
      .map((call) => ({ turn: turn.id, call })));
  }

  questions() {
    return this.awaited().map(({ call }) => question(call, this.state.tasks));
  }

  /** @param {string} text */
  deliver(text) {
    this.resends.send(this.outbox.add({ text, ...this.modelSelect?.firstMessageFields }));
    this.scroll?.follow();
    this.composer?.focus();
    this.draw();
  }

  /** Load more open tasks; return whether some came. */
  async showMoreTasks() {
    const before = this.state.tasks.length;
    this.openTasks = nextSize(this.state.tasks.filter((task) => !task.is_completed).length);
    // A request that is under way asked for fewer.
    await this.refreshing;
    await this.refresh();
    return this.state.tasks.length > before;
  }

  /** @param {string} turnId */
  retry(turnId) {
    void this.mayDecline("regenerate", () => {
      this.connection?.send(toFrame(this.outbox.add({ retry_of: turnId })));
      if (HOVERS.matches) this.composer?.focus();
      this.draw();
    });
  }

  /**
   * Edit a message; return whether it is sent.
   * @param {string} messageId
   * @param {string} text
   */
  async save(messageId, text) {
    const answer = await this.mayDecline("send", () => {
      for (const item of this.outbox.items) if (item.edit_of === messageId) this.outbox.remove(item.client_id);
      this.resends.send(this.outbox.add({ text, edit_of: messageId }));
      if (HOVERS.matches) this.composer?.focus();
      this.draw();
    });
    return answer === "decline";
  }

  /**
   * Send a decision; return whether there was a connection.
   * @param {string} turnId
   * @param {string} callId
   * @param {boolean} approve
   */
  decide(turnId, callId, approve) {
    if (!this.connection?.send({ type: "approval.decide", turn_id: turnId, call_id: callId, approve })) return false;
    this.deciding.add(callId);
    this.draw();
    return true;
  }

  /** @param {import("./outbox.js").OutboxItem} item */
  resend(item) {
    if (!this.outbox.items.some((other) => other.client_id === item.client_id)) return;
    this.outbox.reject(item.client_id, null);
    this.resends.send(item);
    this.draw();
  }

  /** @param {import("./outbox.js").OutboxItem} item */
  edit(item) {
    if (item.edit_of !== null && this.transcript?.openEditor(item.edit_of, item.text ?? "")) return;
    this.outbox.remove(item.client_id);
    this.resends.sendNext();
    this.composer?.append(item.text ?? "");
    this.composer?.focus();
    this.draw();
  }

  /**
   * Keep what was being written when its place went away.
   * @param {{edit_of: string, text: string}} lost
   */
  rescue(lost) {
    this.outbox.reject(this.outbox.add(lost).client_id, MOVED_ON);
    this.draw();
  }

  /** @param {import("./outbox.js").OutboxItem} item */
  discard(item) {
    this.outbox.remove(item.client_id);
    this.resends.sendNext();
    this.composer?.focus();
    this.draw();
  }

  stop() {
    const running = this.state.turns.find((turn) => turn.status === "running" || turn.status === "waiting");
    if (running) this.connection?.send({ type: "turn.stop", turn_id: running.id });
  }

  /** @param {any} frame */
  onFrame(frame) {
    if (frame.type === "error") this.refused(frame);
    if (frame.type === "message.accepted") this.accepted(frame);
    if (frame.type === "conversation.deleted" && frame.id === this.state.conversation_id) this.warn(DELETED);
    this.change(applyFrame(this.state, frame));
    if (frame.type === "ready") this.ready(frame);
    if (hasEnded({ status: frame.type?.replace("turn.", "").replace("finished", "done") })) this.announce(frame);
    if (frame.type === "approval.requested") this.announceQuestion(frame);
    if (frame.type === "model.retrying") byId("announcer").textContent = frame.detail;
    if (frame.type === "approval.decided") this.deciding.delete(frame.call_id);
  }

  /** @param {State} state */
  change(state) {
    if (state === this.state) return;
    this.state = state;
    if (state.stale) void this.refresh();
    this.draw();
  }

  /**
   * Follow what was being followed from where it was left, and send what has waited.
   * @param {any} frame
   */
  ready(frame) {
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
    // Whatever else changed meanwhile, the list of tasks and that of chats among it.
    if (this.wasOnline || performance.now() > LATE) void this.refresh();
    this.wasOnline = true;
  }

  /** Ask for the whole state again. */
  refresh() {
    this.refreshing ??= this.fetchState().then((again) => {
      this.refreshing = null;
      if (again) void this.refresh();
    });
    return this.refreshing;
  }

  /** Take over the whole state from the server; return whether it is already old. */
  async fetchState() {
    const requested = startRefresh(this.state);
    this.state = requested;
    try {
      const answer = await fetch(this.statePath(requested), { headers: { accept: "application/json" } });
      if (answer.redirected) this.showConnectionError("signed out");
      else if (answer.status === 404) this.onFrame({ type: "conversation.deleted", id: requested.conversation_id });
      else if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      if (answer.redirected || !answer.ok) return false;
      const data = await answer.json();
      this.state = finishRefresh(this.state, data, requested);
      this.outbox.removeAccepted(this.state.turns);
      this.resends.sendNext();
      this.draw();
      return this.state.stale;
    } catch {
      // The network is gone again, or the server is busy: the page stays as it is until it can be asked.
      this.state = { ...this.state, stale: true };
      setTimeout(() => this.online && this.state.stale && this.refresh(), REFRESH_AGAIN);
      return false;
    }
  }

  /**
   * Name the state that has as much as is loaded.
   * @param {State} asked
   */
  statePath({ conversation, conversation_id, conversations, turns }) {
    const query = new URLSearchParams({ chats: String(conversations.length) });
    if (this.openTasks) query.set("tasks", String(this.openTasks));
    if (turns.length > 0) query.set("since", turns[0].id);
    return url(`${conversation || turns.length ? `/c/${conversation_id}` : ""}/state/?${query}`);
  }

  /** @param {any} frame */
  accepted(frame) {
    const own = this.outbox.items.some((item) => item.client_id === frame.client_id);
    this.outbox.remove(frame.client_id);
    this.resends.sendNext();
    // What took another's place stands at the end now.
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
  refused({ client_id, detail, code, retry_after }) {
    if (client_id === undefined || client_id === null) return this.undecided(code) || this.warn(detail);
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
    this.draw();
  }

  /**
   * Take a refusal that concerns a decision: it was made elsewhere, or is not wanted any more. Return whether it did. Of what
   * bears no client's id only a decision can be in conflict; the one that came first may have been heard of already.
   * @param {string} code
   */
  undecided(code) {
    if (code !== "conflict" && !(code === "not_found" && this.deciding.size > 0)) return false;
    this.deciding.clear();
    void this.refresh();
    this.draw();
    return true;
  }

  /** @param {any} call */
  announceQuestion(call) {
    const { text, tasks } = question(call, this.state.tasks);
    byId("announcer").textContent = `Your decision is wanted: ${text}`;
    // It is about tasks that may not be loaded: the server sends them along while the question waits.
    const { open, completed } = this.state.task_counts;
    const isWhole = this.state.tasks.length >= open + completed;
    if (!isWhole && tasks?.some(({ title }) => title === null)) this.change({ ...this.state, stale: true });
  }

  /** @param {any} frame */
  announce({ type, message, detail }) {
    // Half as much again is parsed, so that no sign is cut in two where what is announced ends.
    const reply = plainText(message?.text.slice(0, 1.5 * ANNOUNCED) ?? "").slice(0, ANNOUNCED);
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
    // Nobody knows whether a decision that was on its way arrived: if it did, that is heard of.
    if (!this.online) this.deciding.clear();
    const texts = { online: "Connected", connecting: this.wasOnline ? "Reconnecting" : "Connecting", offline: "Offline" };
    byId("connection").dataset.state = state;
    byId("connection-text").textContent = texts[state];
    this.draw();
  }

  /** @param {import("./socket.js").ConnectionError | null} error */
  showConnectionError(error) {
    if (error === null) return this.warn("");
    const texts = {
      "signed out": "You are signed out.",
      "not found": "This chat belongs to somebody else, or is gone.",
      "too many": "You have this open in too many tabs. Close some, and this one goes on by itself.",
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
   * @param {boolean} [grave]
   */
  warn(text, grave = false) {
    const banner = byId("banner");
    banner.hidden = text === "";
    banner.textContent = text;
    banner.classList.toggle("banner--danger", grave);
  }

  draw() {
    if (this.drawing) return;
    const drawn = () => {
      cancelAnimationFrame(this.drawing);
      clearTimeout(late);
      this.drawing = 0;
      this.render();
    };
    // A tab in the background gets no frames, and its title counts what waits.
    const late = setTimeout(drawn, DRAWN_WITHIN);
    this.drawing = requestAnimationFrame(drawn);
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
    // Decided meanwhile, in another tab maybe.
    this.decision?.show(this.questions());
    byId("empty").hidden = state.turns.length > 0 || this.outbox.items.length > 0;
    this.showTitle(state.conversation?.title || "New chat", state.waiting.length);
    this.scroll?.update();
  }

  /**
   * @param {string} title
   * @param {number} waiting  chats in which a decision is wanted
   */
  showTitle(title, waiting) {
    const whole = `${waiting > 0 ? `(${waiting}) ` : ""}${title} · Threadkeeper`;
    if (whole === this.title) return;
    this.title = whole;
    byId("title").textContent = byId("title").title = title;
    document.title = whole;
    showBadge(waiting);
  }
}

/** @param {number} waiting  chats in which a decision is wanted */
function showBadge(waiting) {
  const badge = byId("chats-badge");
  badge.textContent = String(waiting);
  badge.hidden = waiting === 0;
  badge.parentElement?.setAttribute("aria-label", waiting ? `Chats: ${waiting} waiting for your decision` : "Chats");
}

/**
 * Bring something into view, and point it out.
 * @param {Element | null} element
 */
function showPlace(element) {
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
