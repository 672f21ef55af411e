// @ts-check
/** Split a Markdown text that grows into blocks: what cannot change any more is not parsed again. */

/**
 * @typedef {{type: string, raw: string, goesOn?: boolean, [key: string]: any}} Token  `goesOn` in a part of a long block that
 *   is not its first
 * @typedef {Token[] & {links: Record<string, unknown>}} Tokens
 */

// A line that has just begun may still become a part of the block before it, as "2" does before it is "2. milk".
const OPEN_BLOCKS = 2;
// Characters; a longer paragraph or list is parsed and drawn in parts, so that the work does not grow with it. Where one
// part of a paragraph ends, its line does, too.
const LONG = /** @type {Record<string, number>} */ ({ paragraph: 3_000, list: 1_000 });

export class BlockSplitter {
  /**
   * @param {(text: string) => Tokens} lexer  its tokens' `raw` make up the text
   * @param {Record<string, number>} [long]
   */
  constructor(lexer, long = LONG) {
    this.lexer = lexer;
    this.long = long;
    this.reset();
  }

  reset() {
    /** @type {Token[]} */
    this.closed = [];
    this.closedText = "";
    this.isInside = false;
  }

  /**
   * Return the blocks of a text. After a text that it begins with, only the last of them are parsed.
   * @param {string} text
   * @returns {Tokens}
   */
  split(text) {
    if (!text.startsWith(this.closedText)) this.reset();
    const parsed = this.lexer(text.slice(this.closedText.length));
    // The definition of a link counts in the whole text, and the parser replaces carriage returns.
    if (Object.keys(parsed.links).length > 0 || text.includes("\r", this.closedText.length)) {
      const { closed } = this;
      this.reset();
      return closed.length > 0 ? this.lexer(text) : parsed;
    }
    const open = parsed.flatMap((token) => this.parts(token));
    if (this.isInside && open.length > 0) open[0].goesOn = true;
    const blocks = Object.assign([...this.closed, ...open], { links: parsed.links });
    this.close(text, open);
    return blocks;
  }

  /**
   * Close what ends with an empty line, or inside of a long block, and has enough blocks behind it.
   * @param {string} text
   * @param {Token[]} open
   */
  close(text, open) {
    const starts = open.flatMap(({ type }, index) => (type === "space" ? [] : [index]));
    let end = this.closedText.length;
    let count = 0;
    for (const [index, token] of open.slice(0, starts.at(-OPEN_BLOCKS) ?? 0).entries()) {
      if (!text.startsWith(token.raw, end)) break;
      end += token.raw.length;
      const isInside = open[index + 1].goesOn ?? false;
      if (!isInside && !text.endsWith("\n\n", end)) continue;
      count = index + 1;
      this.closedText = text.slice(0, end);
      this.isInside = isInside;
    }
    this.closed.push(...open.slice(0, count));
  }

  /**
   * Cut a long paragraph or list into parts of the same kind.
   * @param {Token} token
   * @returns {Token[]}
   */
  parts(token) {
    const long = this.long[token.type] ?? Infinity;
    if (token.raw.length <= long) return [token];
    const parts = [];
    let start = 0;
    for (const end of [...(token.type === "list" ? itemEnds : sentenceEnds)(token, long), token.raw.length]) {
      const raw = token.raw.slice(start, end);
      const [part, ...others] = this.lexer(raw).filter(({ type }) => type !== "space");
      if (part?.type !== token.type || others.length > 0) return [token];
      parts.push({ ...part, raw, ...(start > 0 && { goesOn: true }) });
      start = end;
    }
    return parts;
  }
}

/**
 * Yield where a list can be cut: before an item.
 * @param {Token} list
 * @param {number} long
 */
function* itemEnds({ items }, long) {
  let start = 0;
  let end = 0;
  for (const { raw } of items.slice(0, -1)) {
    end += raw.length;
    if (end - start < long) continue;
    yield end;
    start = end;
  }
}

/**
 * Yield where a paragraph can be cut: after a sentence, and not within emphasis, code or a link, as far as there is such a
 * place; else between two words.
 * @param {Token} paragraph
 * @param {number} long
 */
function* sentenceEnds({ raw }, long) {
  let start = 0;
  // What follows begins with a letter, and so is no block of another kind.
  for (const { index, 0: space } of raw.matchAll(/(?:\S[ \n]|[。！？；，、])(?=\p{L})/gu)) {
    const end = index + space.length;
    if (end - start < long) continue;
    const isSentence = /[.!?…:;。！？；]/.test(space) && isBalanced(raw.slice(start, end));
    if (!isSentence && end - start < 2 * long) continue;
    yield end;
    start = end;
  }
}

/** @param {string} text */
function isBalanced(text) {
  const count = (/** @type {string} */ sign) => text.split(sign).length - 1;
  return ["`", "*", "_", "~"].every((sign) => count(sign) % 2 === 0) && count("[") === count("]") && count("(") === count(")");
}
