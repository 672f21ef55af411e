// @ts-check
/**
 * Render Markdown to elements. Of a growing text, only the end is parsed and sanitised again, and only changed blocks are replaced,
 * so that a selection in an earlier block stays.
 */

import DOMPurify from "../vendor/dompurify/purify.es.mjs";
import { Marked } from "../vendor/marked/marked.esm.js";
import { BlockSplitter } from "./blocks.js";
import { copyButton, h } from "./dom.js";
import { levels } from "./nesting.js";

const MAX_LEVELS = 40;
// Newlines next to these are not text; others within a paragraph become line breaks.
const BESIDE_BLOCKS = /\n?(<\/?(?:blockquote|br|h[1-6]|hr|li|ol|p|pre|table|tbody|td|th|thead|tr|ul)\b[^>]*>)\n?/g;

const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "input", "li", "ol", "p", "pre",
    "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["align", "checked", "class", "disabled", "href", "start", "title", "type"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  // These are not URLs.
  ADD_URI_SAFE_ATTR: ["align", "start", "type"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

// Characters; highlighting longer code would freeze the page.
const MAX_HIGHLIGHTED = 20_000;
// Characters; growing code is split into text nodes of complete lines, so that the browser lays out only the last one again.
const MAX_TEXT_NODE = 4_000;

/** @param {string} text */
const escapeHtml = (text) =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  renderer: {
    // HTML in a reply is shown as text.
    html: (/** @type {{text: string}} */ { text }) => escapeHtml(text),
    // Images become links, so that the page loads none.
    image: (/** @type {{href: string, text: string}} */ { href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`,
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (/** @type {Element} */ node) => {
  if (node.tagName === "A") {
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("target", "_blank");
  }
  // The only inputs in Markdown are the checkboxes of task lists.
  if (node.tagName === "INPUT") {
    if (node.getAttribute("type") !== "checkbox") return node.remove();
    node.setAttribute("disabled", "");
    node.setAttribute("aria-label", node.hasAttribute("checked") ? "Done" : "Not done");
  }
});

/** @param {string} text */
function lexer(text) {
  if (levels(text) > MAX_LEVELS) throw new RangeError("This is nested too deeply.");
  return /** @type {import("./blocks.js").Tokens} */ (/** @type {unknown} */ (marked.lexer(text)));
}

/**
 * Split a text into blocks. A text that the parser rejects is a single block, shown as plain text.
 * @param {string} text
 * @param {BlockSplitter} splitter
 * @returns {import("./blocks.js").Tokens}
 */
function splitBlocks(text, splitter) {
  try {
    return splitter.split(text);
  } catch {
    // Too deeply nested, or an error of the parser.
  }
  return Object.assign([{ type: "unparsed", raw: text }], { links: {} });
}

/**
 * Return the text without its Markdown syntax, for screen readers.
 * @param {string} text
 * @returns {string}
 */
export function plainText(text) {
  try {
    const fragment = DOMPurify.sanitize(marked.parser(/** @type {any} */ (lexer(text))), ALLOWED);
    for (const checkbox of fragment.querySelectorAll("input")) checkbox.replaceWith(`${checkbox.getAttribute("aria-label")}: `);
    return (fragment.textContent ?? "").replace(/\s*\n\s*/g, "\n").trim();
  } catch {
    return text;
  }
}

/** A text that may still grow. */
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
   * Show a text. Unless it is final, its last block may still change and is not highlighted.
   * @param {string} text
   * @param {boolean} final
   */
  show(text, final) {
    if (text === this.text && final === this.final) return;
    this.text = text;
    this.final = final;
    const tokens = splitBlocks(text, this.splitter);
    const links = JSON.stringify(tokens.links);
    // A link definition also changes blocks with the same text.
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
    const previous = this.blocks[index];
    // Only code is rendered differently once it is complete.
    const isUnchanged = previous?.raw === token.raw;
    const ignoresFinal = token.type === "code" ? !isHighlightable(token) : !previous?.element.querySelector("pre");
    if (previous && isUnchanged && (previous.final === final || ignoresFinal)) return { ...previous, final };
    // Code is highlighted once it is complete.
    if (previous && !(final && isHighlightable(token)) && append(previous.element, token)) return { ...previous, raw: token.raw, final };
    const element = h("div", { class: token.isContinuation ? "block block--continued" : "block" });
    try {
      element.append(DOMPurify.sanitize(marked.parser([token]).replace(BESIDE_BLOCKS, "$1"), ALLOWED));
      if (headOf(token)) element.dataset.head = headOf(token);
      decorate(element, final);
    } catch {
      element.replaceChildren(h("div", { class: "unparsed" }, token.raw));
    }
    return { raw: token.raw, element, final };
  }

  update() {
    const elements = this.blocks.map((block) => block.element);
    elements.forEach((element, index) => {
      const current = this.element.children[index];
      if (current === element) return;
      if (current) current.replaceWith(element);
      else this.element.append(element);
    });
    while (this.element.children.length > elements.length) this.element.lastElementChild?.remove();
  }
}

/**
 * Append new lines to a rendered code block, or new rows to a table. Return false if it has to be rendered again.
 * @param {HTMLElement} block
 * @param {any} token
 */
function append(block, token) {
  if (block.dataset.head !== headOf(token)) return false;
  if (token.type === "code") return appendCode(block, token);
  return token.type === "table" && appendTable(block, token);
}

/**
 * Return what a code block or a table depends on besides its lines or rows; an empty string for other blocks.
 * @param {any} token
 */
function headOf({ type, lang, header, align }) {
  if (type === "code") return `code ${lang ?? ""}`;
  return type === "table" ? JSON.stringify([align, header.map((/** @type {{text: string}} */ { text }) => text)]) : "";
}

/**
 * Return whether a block is code that is highlighted once it is complete.
 * @param {any} token
 */
const isHighlightable = ({ type, lang, text }) => type === "code" && Boolean(lang) && text.length < MAX_HIGHLIGHTED;

/**
 * @param {HTMLElement} block
 * @param {{text: string}} token
 */
function appendCode(block, { text }) {
  const code = block.querySelector(":scope > .code > pre > code");
  const part = code?.lastChild;
  if (!code || !(part instanceof Text)) return false;
  // The renderer adds a newline to the last line.
  const previous = (code.textContent ?? "").slice(0, -1);
  if (!text.startsWith(previous)) return false;
  part.replaceData(part.length - 1, 1, `${text.slice(previous.length).replace(/\n$/, "")}\n`);
  const lines = part.data.lastIndexOf("\n", part.length - 2) + 1;
  if (part.length > MAX_TEXT_NODE && lines > 0) part.splitText(lines);
  return true;
}

/**
 * @param {HTMLElement} block
 * @param {{rows: unknown[]}} token
 */
function appendTable(block, token) {
  const body = block.querySelector("tbody");
  const last = body?.lastElementChild;
  if (!body || !last || token.rows.length < body.rows.length) return false;
  const rows = token.rows.slice(body.rows.length - 1);
  last.replaceWith(...DOMPurify.sanitize(marked.parser([/** @type {any} */ ({ ...token, rows })]).replace(BESIDE_BLOCKS, "$1"), ALLOWED).querySelectorAll("tbody > tr"));
  return true;
}

/**
 * Add a bar to code, and a scrolling container to tables.
 * @param {HTMLElement} block
 * @param {boolean} final
 */
function decorate(block, final) {
  for (const pre of block.querySelectorAll("pre")) decorateCode(pre, final);
  for (const table of block.querySelectorAll("table")) {
    const container = h("div", { class: "table", tabindex: 0, role: "region", "aria-label": "Table" });
    table.replaceWith(container);
    container.append(table);
  }
}

/**
 * @param {HTMLElement} pre
 * @param {boolean} final
 */
function decorateCode(pre, final) {
  const code = pre.querySelector("code");
  if (code === null) return;
  const language = /language-([\w+#-]+)/.exec(code.className)?.[1] ?? "";
  const bar = h("div", { class: "code__bar" }, h("span", {}, language || "text"));
  bar.append(copyButton(() => code.textContent ?? "", "Copy code"));
  const container = h("div", { class: "code" }, bar);
  pre.replaceWith(container);
  pre.tabIndex = 0;
  container.append(pre);
  if (final && language && (code.textContent ?? "").length < MAX_HIGHLIGHTED) void highlight(code, language);
}

/**
 * Highlight code. The library is loaded with the first block that needs it.
 * @param {HTMLElement} code
 * @param {string} language
 */
async function highlight(code, language) {
  const { default: hljs } = await import("../vendor/highlight/highlight.min.js");
  if (!hljs.getLanguage(language)) return;
  const { value } = hljs.highlight(code.textContent ?? "", { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, ALLOWED));
}
