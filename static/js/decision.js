// @ts-check
/** The dialog that asks for pending decisions, before a message or an action declines them. */

import { questionDetails } from "./approval.js";
import { byId, h } from "./dom.js";

/**
 * @typedef {import("./approval.js").Question} Question
 * @typedef {"approve" | "decline" | "decline only" | "cancel"} Answer   `decline` sends the message, too
 */

const AGREEMENT = new RegExp(
  "^(?:(?:yes|yeah|yep|yup|ok|okay|sure|fine|agreed|approved?|confirm(?:ed)?|accept(?:ed)?|allow|correct|right|certainly|absolutely|definitely"
  + "|of course|sounds good|go ahead|go for it|do it|do that|please|please do|delete (?:it|them)|that'?s (?:fine|right|ok|okay)|y|👍)(?: |$))+$",
);

/**
 * Return whether a message is only an agreement.
 * @param {string} text
 */
export function isAgreement(text) {
  const normalized = normalize(text);
  return normalized !== "please" && AGREEMENT.test(normalized);
}

const REFUSAL = new RegExp(
  "^(?:(?:no|nope|nah|no way|never mind|nevermind|do not|don'?t|don'?t do (?:it|that)|do not do (?:it|that)|declined?|den(?:y|ied)|refused?|cancel(?: (?:it|that))?"
  + "|keep (?:it|them)(?: all)?|leave (?:it|them)|better not|rather not|not now|please|thanks|thank you|n|👎)(?: |$))+$",
);

/**
 * Return whether a message is only a refusal.
 * @param {string} text
 */
export function isRefusal(text) {
  const normalized = normalize(text);
  return !/^(?:please|thanks|thank you| )+$/.test(normalized) && REFUSAL.test(normalized);
}

/** @param {string} text */
const normalize = (text) => text.toLowerCase().replace(/’/g, "'").replace(/[\s,.!;:]+/g, " ").trim();

export class DecisionDialog {
  /** @param {string} zone */
  constructor(zone) {
    this.zone = zone;
    this.element = /** @type {HTMLDialogElement} */ (byId("decision"));
    /** @type {((answer: Answer) => void) | null} */
    this.resolve = null;
    this.shownQuestions = "";
    this.element.addEventListener("close", () => this.onClose());
  }

  /**
   * Ask for a decision about the questions. The first button matches the text if that is an answer; otherwise it cancels.
   * @param {Question[]} questions
   * @param {{verb: string, text: string}} options   a verb for the action that declines them, and the text of the message
   * @returns {Promise<Answer>}
   */
  ask(questions, { verb, text }) {
    if (this.element.open) return Promise.resolve("cancel");
    this.shownQuestions = JSON.stringify(questions);
    const [first] = questions;
    const single = questions.length === 1;
    const className = single && !first.danger ? "button--primary" : "button--danger";
    const button = (/** @type {Answer} */ answer, /** @type {string} */ label, kind = "") =>
      h("button", { type: "button", class: `button ${kind}`, onclick: () => this.element.close(answer) }, label);
    const approve = button("approve", single ? first.approve : "Approve all", className);
    const declineLabel = single ? first.decline : "Decline all";
    const decline = button("decline", `${declineLabel} and ${verb}`);
    const cancel = button("cancel", "Cancel");
    const isAnswer = isAgreement(text) || isRefusal(text);
    byId("decision-text").textContent = isAnswer
      ? "Is this your decision?"
      : `The assistant is waiting for ${single ? "your decision" : `${questions.length} decisions`}. If you ${verb} now, that counts as a no.`;
    byId("decision-details").replaceChildren(...questions.map((question) =>
      h("div", { class: "approval__details" }, h("p", { class: "approval__title" }, question.text), questionDetails(question, this.zone))));
    byId("decision-buttons").replaceChildren(...(isAgreement(text) ? [approve, decline, cancel]
      : isAnswer ? [button("decline only", declineLabel), cancel, approve] : [cancel, decline, approve]));
    this.element.returnValue = "cancel";
    this.element.showModal();
    /** @type {HTMLElement} */ (byId("decision-buttons").firstElementChild).focus();
    return new Promise((resolve) => (this.resolve = resolve));
  }

  /**
   * Replace the answers with Close if the waiting questions have changed.
   * @param {Question[]} questions
   */
  show(questions) {
    if (!this.element.open || this.shownQuestions === "" || JSON.stringify(questions) === this.shownQuestions) return;
    this.shownQuestions = "";
    byId("decision-text").textContent = questions.length === 0
      ? "This was decided meanwhile, perhaps in another tab. Nothing was sent from here."
      : "The question has changed meanwhile. Nothing was sent from here.";
    const close = h("button", { type: "button", class: "button button--primary", onclick: () => this.element.close("cancel") }, "Close");
    byId("decision-buttons").replaceChildren(close);
    close.focus();
  }

  onClose() {
    this.resolve?.(/** @type {Answer} */ (this.element.returnValue));
    this.resolve = null;
  }
}
