// @ts-check
/** The dialog that asks before a message declines a waiting question. */

import { aboutOf } from "./approval.js";
import { byId, h } from "./dom.js";

/**
 * @typedef {import("./approval.js").Question} Question
 * @typedef {"approve" | "decline" | "decline only" | "cancel"} Answer   `decline` sends
 */

const AGREES = new RegExp(
  "^(?:(?:yes|yeah|yep|yup|ok|okay|sure|fine|agreed|approved?|confirm(?:ed)?|accept(?:ed)?|allow|correct|right|certainly|absolutely|definitely"
  + "|of course|sounds good|go ahead|go for it|do it|do that|please|please do|delete (?:it|them)|that'?s (?:fine|right|ok|okay)|y|👍)(?: |$))+$",
);

/**
 * Return whether a message only agrees to what is asked.
 * @param {string} text
 */
export function agrees(text) {
  const plain = plainly(text);
  return plain !== "please" && AGREES.test(plain);
}

const REFUSES = new RegExp(
  "^(?:(?:no|nope|nah|no way|never mind|nevermind|do not|don'?t|don'?t do (?:it|that)|do not do (?:it|that)|declined?|den(?:y|ied)|refused?|cancel(?: (?:it|that))?"
  + "|keep (?:it|them)(?: all)?|leave (?:it|them)|better not|rather not|not now|please|thanks|thank you|n|👎)(?: |$))+$",
);

/**
 * Return whether a message only refuses what is asked.
 * @param {string} text
 */
export function refuses(text) {
  const plain = plainly(text);
  return !/^(?:please|thanks|thank you| )+$/.test(plain) && REFUSES.test(plain);
}

/** @param {string} text */
const plainly = (text) => text.toLowerCase().replace(/’/g, "'").replace(/[\s,.!;:]+/g, " ").trim();

export class DecisionDialog {
  /** @param {string} zone */
  constructor(zone) {
    this.zone = zone;
    this.element = /** @type {HTMLDialogElement} */ (byId("decision"));
    /** @type {((answer: Answer) => void) | null} */
    this.answer = null;
    this.asked = "";
    this.element.addEventListener("close", () => this.closed());
  }

  /**
   * Ask for a decision about the waiting questions. If the text is an answer, that answer is the first button, otherwise Cancel.
   * @param {Question[]} questions
   * @param {{verb: string, text: string}} how   the verb of what would decline them, and what would be sent
   * @returns {Promise<Answer>}
   */
  ask(questions, { verb, text }) {
    if (this.element.open) return Promise.resolve("cancel");
    this.asked = JSON.stringify(questions);
    const [one] = questions;
    const single = questions.length === 1;
    const look = single && !one.danger ? "button--primary" : "button--danger";
    const button = (/** @type {Answer} */ answer, /** @type {string} */ label, kind = "") =>
      h("button", { type: "button", class: `button ${kind}`, onclick: () => this.element.close(answer) }, label);
    const approve = button("approve", single ? one.approve : "Approve all", look);
    const no = single ? one.decline : "Decline all";
    const decline = button("decline", `${no} and ${verb}`);
    const cancel = button("cancel", "Cancel");
    const answered = agrees(text) || refuses(text);
    byId("decision-text").textContent = answered
      ? "Is this your decision?"
      : `The assistant is waiting for ${single ? "your decision" : `${questions.length} decisions`}. If you ${verb} now, that counts as a no.`;
    byId("decision-about").replaceChildren(...questions.map((question) =>
      h("div", { class: "approval__about" }, h("p", { class: "approval__title" }, question.text), aboutOf(question, this.zone))));
    byId("decision-buttons").replaceChildren(...(agrees(text) ? [approve, decline, cancel]
      : answered ? [button("decline only", no), cancel, approve] : [cancel, decline, approve]));
    this.element.returnValue = "cancel";
    this.element.showModal();
    /** @type {HTMLElement} */ (byId("decision-buttons").firstElementChild).focus();
    return new Promise((resolve) => (this.answer = resolve));
  }

  /**
   * Offer no answer once the waiting questions differ from those shown.
   * @param {Question[]} questions
   */
  show(questions) {
    if (!this.element.open || this.asked === "" || JSON.stringify(questions) === this.asked) return;
    this.asked = "";
    byId("decision-text").textContent = questions.length === 0
      ? "This was decided meanwhile, perhaps in another tab. Nothing was sent from here."
      : "The question has changed meanwhile. Nothing was sent from here.";
    const close = h("button", { type: "button", class: "button button--primary", onclick: () => this.element.close("cancel") }, "Close");
    byId("decision-buttons").replaceChildren(close);
    close.focus();
  }

  closed() {
    this.answer?.(/** @type {Answer} */ (this.element.returnValue));
    this.answer = null;
  }
}
