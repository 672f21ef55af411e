// @ts-check
/**
 * Markdown to elements: of a text that grows only the end is parsed and sanitised again, and only the blocks that changed
 * are put into the page, so that what a reader has selected further up stays selected while the reply goes on.
 */

import DOMPurify from "../vendor/dompurify/purify.es.mjs";
import { Marked } from "../vendor/marked/marked.esm.js";
import { BlockSplitter } from "./blocks.js";
import { copyButton, h } from "./dom.js";
import { levels } from "./nesting.js";

const MOST_LEVELS = 40;
// Newlines beside these are not text; others within a paragraph are shown as line breaks.
const BESIDE_BLOCKS = /\n?(<\/?(?:blockquote|br|h[1-6]|hr|li|ol|p|pre|table|tbody|td|th|thead|tr|ul)\b[^>]*>)\n?/g;

const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "input", "li", "ol", "p", "pre",
    "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["align", "checked", "class", "disabled", "href", "start", "title", "type"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  // The rule for addresses is not for these.
  ADD_URI_SAFE_ATTR: ["align", "start", "type"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

// Characters; colouring more takes so long that the page stops.
const HIGHLIGHTED = 20_000;
// Characters; code that grows is a row of texts of complete lines, of which the browser shapes only the last one again.
const CODE_PART = 4_000;

/** @param {string} text */
const escaped = (text) =>
  text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  renderer: {
    // Tags that the assistant writes are text to read, not markup.
    html: (/** @type {{text: string}} */ { text }) => escaped(text),
    // No picture is fetched from anywhere: a link instead.
    image: (/** @type {{href: string, text: string}} */ { href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (/** @type {Element} */ node) => {
  if (node.tagName === "A") {
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("target", "_blank");
  }
  // The one kind of field that Markdown makes is a ticked box in a list.
  if (node.tagName === "INPUT") {
    if (node.getAttribute("type") !== "checkbox") return node.remove();
    node.setAttribute("disabled", "");
    node.setAttribute("aria-label", node.hasAttribute("checked") ? "Done" : "Not done");
  }
});

/** @param {string} text */
function lexer(text) {
  if (levels(text) > MOST_LEVELS) throw new RangeError("This is nested too deeply.");
  return /** @type {import("./blocks.js").Tokens} */ (/** @type {unknown} */ (marked.lexer(text)));
}

/**
 * Split a text into blocks; one that is nested too deeply for the parser is a single block, shown as it was written.
 * @param {string} text
 * @param {BlockSplitter} splitter
 * @returns {import("./blocks.js").Tokens}
 */
function blocksOf(text, splitter) {
  try {
    return splitter.split(text);
  } catch {
    // Shown as it was written, too.
  }
  return Object.assign([{ type: "unparsed", raw: text }], { links: {} });
}

/**
 * Return a text as it is read aloud: its words, without the signs of Markdown.
 * @param {string} text
 * @returns {string}
 */
export function plainText(text) {
  try {
    const fragment = DOMPurify.sanitize(marked.parser(/** @type {any} */ (lexer(text))), ALLOWED);
    for (const box of fragment.querySelectorAll("input")) box.replaceWith(`${box.getAttribute("aria-label")}: `);
    return (fragment.textContent ?? "").replace(/\s*\n\s*/g, "\n").trim();
  } catch {
    return text;
  }
}

/** A text as it is being written. */
export class MarkdownView {
  constructor() {
    this.element = h("div", { class: "message__text prose" });
    /** @type {{raw: string, element: HTMLElement, final: boolean}[]} */
    this.blocks = [];
    this.text = "";
    this.final = false;
    this.links = "";
    this.splitter = new BlockSplitter(lexer);
  }

  /**
   * Show a text; of one that goes on, the last block may still change and is not highlighted.
   * @param {string} text
   * @param {boolean} final
   */
  show(text, final) {
    if (text === this.text && final === this.final) return;
    this.text = text;
    this.final = final;
    const tokens = blocksOf(text, this.splitter);
    const links = JSON.stringify(tokens.links);
    // A definition of a link changes blocks whose text is the same.
    if (links !== this.links) this.blocks = [];
    this.links = links;
    const shown = tokens.filter((token) => token.type !== "space" && token.type !== "def");
    this.blocks = shown.map((token, index) => this.block(token, index, final || index < shown.length - 1));
    this.update();
  }

  /**
   * @param {any} token
   * @param {number} index
   * @param {boolean} final
   */
  block(token, index, final) {
    const known = this.blocks[index];
    // Only code looks different once it is whole.
    const same = known?.raw === token.raw;
    const stays = token.type === "code" ? !isColoured(token) : !known?.element.querySelector("pre");
    if (known && same && (known.final === final || stays)) return { ...known, final };
    // Code is coloured at the end.
    if (known && !(final && isColoured(token)) && grow(known.element, token)) return { ...known, raw: token.raw, final };
    const element = h("div", { class: token.goesOn ? "block block--continued" : "block" });
    try {
      element.append(DOMPurify.sanitize(marked.parser([token]).replace(BESIDE_BLOCKS, "$1"), ALLOWED));
      if (headOf(token)) element.dataset.head = headOf(token);
      finish(element, final);
    } catch {
      element.replaceChildren(h("div", { class: "unparsed" }, token.raw));
    }
    return { raw: token.raw, element, final };
  }

  update() {
    const elements = this.blocks.map((block) => block.element);
    elements.forEach((element, index) => {
      const there = this.element.children[index];
      if (there === element) return;
      if (there) there.replaceWith(element);
      else this.element.append(element);
    });
    while (this.element.children.length > elements.length) this.element.lastElementChild?.remove();
  }
}

/**
 * Add to a block of code or to a table what came since it was drawn; tell whether that is all that changed.
 * @param {HTMLElement} block
 * @param {any} token
 */
function grow(block, token) {
  if (block.dataset.head !== headOf(token)) return false;
  if (token.type === "code") return growCode(block, token);
  return token.type === "table" && growTable(block, token);
}

/**
 * Name what the whole of a block depends on that can grow.
 * @param {any} token
 */
function headOf({ type, lang, header, align }) {
  if (type === "code") return `code ${lang ?? ""}`;
  return type === "table" ? JSON.stringify([align, header.map((/** @type {{text: string}} */ { text }) => text)]) : "";
}

/**
 * Return whether a block is code that is coloured once it is whole.
 * @param {any} token
 */
const isColoured = ({ type, lang, text }) => type === "code" && Boolean(lang) && text.length < HIGHLIGHTED;

/**
 * @param {HTMLElement} block
 * @param {{text: string}} token
 */
function growCode(block, { text }) {
  const code = block.querySelector(":scope > .code > pre > code");
  const part = code?.lastChild;
  if (!code || !(part instanceof Text)) return false;
  // The last line ends without being written so.
  const known = (code.textContent ?? "").slice(0, -1);
  if (!text.startsWith(known)) return false;
  part.replaceData(part.length - 1, 1, `${text.slice(known.length).replace(/\n$/, "")}\n`);
  const lines = part.data.lastIndexOf("\n", part.length - 2) + 1;
  if (part.length > CODE_PART && lines > 0) part.splitText(lines);
  return true;
}

/**
 * @param {HTMLElement} block
 * @param {{rows: unknown[]}} token
 */
function growTable(block, token) {
  const body = block.querySelector("tbody");
  const last = body?.lastElementChild;
  if (!body || !last || token.rows.length < body.rows.length) return false;
  const rows = token.rows.slice(body.rows.length - 1);
  last.replaceWith(...DOMPurify.sanitize(marked.parser([/** @type {any} */ ({ ...token, rows })]).replace(BESIDE_BLOCKS, "$1"), ALLOWED).querySelectorAll("tbody > tr"));
  return true;
}

/**
 * Dress what Markdown alone cannot: code gets a bar, wide tables scroll.
 * @param {HTMLElement} block
 * @param {boolean} final
 */
function finish(block, final) {
  for (const pre of block.querySelectorAll("pre")) dressCode(pre, final);
  for (const table of block.querySelectorAll("table")) {
    const frame = h("div", { class: "table", tabindex: 0, role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
}

/**
 * @param {HTMLElement} pre
 * @param {boolean} final
 */
function dressCode(pre, final) {
  const code = pre.querySelector("code");
  if (code === null) return;
  const language = /language-([\w+#-]+)/.exec(code.className)?.[1] ?? "";
  const bar = h("div", { class: "code__bar" }, h("span", {}, language || "text"));
  bar.append(copyButton(() => code.textContent ?? "", "Copy code"));
  const frame = h("div", { class: "code" }, bar);
  pre.replaceWith(frame);
  pre.tabIndex = 0;
  frame.append(pre);
  if (final && language && (code.textContent ?? "").length < HIGHLIGHTED) void highlight(code, language);
}

/**
 * Colour code, once the library is there; it is fetched with the first block that needs it.
 * @param {HTMLElement} code
 * @param {string} language
 */
async function highlight(code, language) {
  const { default: hljs } = await import("../vendor/highlight/highlight.min.js");
  if (!hljs.getLanguage(language)) return;
  const { value } = hljs.highlight(code.textContent ?? "", { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, ALLOWED));
}
