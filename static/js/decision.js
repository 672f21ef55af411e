// @ts-check
/** What is asked before something is sent that would decline what waits for a decision. */

import { aboutOf } from "./approval.js";
import { byId, h } from "./dom.js";

/**
 * @typedef {import("./approval.js").Question} Question
 * @typedef {"approve" | "decline" | "cancel"} Answer   `decline` sends
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
  const plain = text.toLowerCase().replace(/’/g, "'").replace(/[\s,.!;:]+/g, " ").trim();
  return plain !== "please" && AGREES.test(plain);
}

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
   * Ask what is to become of the questions that wait. Where the person has agreed in words, approving comes first, else
   * what changes nothing.
   * @param {Question[]} questions
   * @param {{verb: string, agreed: boolean}} how   the verb of what would decline them
   * @returns {Promise<Answer>}
   */
  ask(questions, { verb, agreed }) {
    if (this.element.open) return Promise.resolve("cancel");
    this.asked = JSON.stringify(questions);
    const [one] = questions;
    const single = questions.length === 1;
    const look = single && !one.danger ? "button--primary" : "button--danger";
    const button = (/** @type {Answer} */ answer, /** @type {string} */ label, kind = "") =>
      h("button", { type: "button", class: `button ${kind}`, onclick: () => this.element.close(answer) }, label);
    const approve = button("approve", single ? one.approve : "Approve all", look);
    const decline = button("decline", `${single ? one.decline : "Decline all"} and ${verb}`);
    const cancel = button("cancel", "Cancel");
    byId("decision-text").textContent = agreed
      ? "Is this your decision?"
      : `The assistant is waiting for ${single ? "your decision" : `${questions.length} decisions`}. If you ${verb} now, that counts as a no.`;
    byId("decision-about").replaceChildren(...questions.map((question) =>
      h("div", { class: "approval__about" }, h("p", { class: "approval__title" }, question.text), aboutOf(question, this.zone))));
    byId("decision-buttons").replaceChildren(...(agreed ? [approve, decline, cancel] : [cancel, decline, approve]));
    this.element.returnValue = "cancel";
    this.element.showModal();
    /** @type {HTMLElement} */ (byId("decision-buttons").firstElementChild).focus();
    return new Promise((resolve) => (this.answer = resolve));
  }

  /**
   * Close where other questions wait by now: what was shown is not what would be decided.
   * @param {Question[]} questions
   */
  show(questions) {
    if (this.element.open && JSON.stringify(questions) !== this.asked) this.element.close("cancel");
  }

  closed() {
    this.answer?.(/** @type {Answer} */ (this.element.returnValue));
    this.answer = null;
  }
}
