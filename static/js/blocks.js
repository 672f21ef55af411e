// @ts-check
/** Split a growing Markdown text into blocks, without parsing closed blocks again. */

/**
 * @typedef {{type: string, raw: string, isContinuation?: boolean, [key: string]: any}} Token  `isContinuation`: a part of a long block,
 *   except the first
 * @typedef {Token[] & {links: Record<string, unknown>}} Tokens
 */

// The last blocks stay open: an incomplete line may still join the block before it, as "2" does when it becomes "2. milk".
const OPEN_BLOCKS = 2;
// Characters; longer paragraphs and lists are parsed and rendered in parts, so that the cost per update is bounded. A part of a
// paragraph starts on a new line.
const MAX_LENGTHS = /** @type {Record<string, number>} */ ({ paragraph: 3_000, list: 1_000 });

export class BlockSplitter {
  /**
   * @param {(text: string) => Tokens} lexer  the `raw` texts of its tokens, joined, are the text
   * @param {Record<string, number>} [maxLengths]
   */
  constructor(lexer, maxLengths = MAX_LENGTHS) {
    this.lexer = lexer;
    this.maxLengths = maxLengths;
    this.reset();
  }

  reset() {
    /** @type {Token[]} */
    this.closed = [];
    this.closedText = "";
    this.isInBlock = false;
  }

  /**
   * Return the blocks of a text. If it continues the previous text, only its open blocks are parsed.
   * @param {string} text
   * @returns {Tokens}
   */
  split(text) {
    if (!text.startsWith(this.closedText)) this.reset();
    const parsed = this.lexer(text.slice(this.closedText.length));
    // A link definition applies to the whole text, and the parser replaces carriage returns.
    if (Object.keys(parsed.links).length > 0 || text.includes("\r", this.closedText.length)) {
      const { closed } = this;
      this.reset();
      return closed.length > 0 ? this.lexer(text) : parsed;
    }
    const open = parsed.flatMap((token) => this.splitLong(token));
    if (this.isInBlock && open.length > 0) open[0].isContinuation = true;
    const blocks = Object.assign([...this.closed, ...open], { links: parsed.links });
    this.close(text, open);
    return blocks;
  }

  /**
   * Close blocks that end with an empty line, and parts of a long block, except the last blocks.
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
      const isInBlock = open[index + 1].isContinuation ?? false;
      if (!isInBlock && !text.endsWith("\n\n", end)) continue;
      count = index + 1;
      this.closedText = text.slice(0, end);
      this.isInBlock = isInBlock;
    }
    this.closed.push(...open.slice(0, count));
  }

  /**
   * Split a long paragraph or list into parts of the same type.
   * @param {Token} token
   * @returns {Token[]}
   */
  splitLong(token) {
    const maxLength = this.maxLengths[token.type] ?? Infinity;
    if (token.raw.length <= maxLength) return [token];
    const parts = [];
    let start = 0;
    for (const end of [...(token.type === "list" ? itemEnds : sentenceEnds)(token, maxLength), token.raw.length]) {
      const raw = token.raw.slice(start, end);
      const [part, ...others] = this.lexer(raw).filter(({ type }) => type !== "space");
      if (part?.type !== token.type || others.length > 0) return [token];
      parts.push({ ...part, raw, ...(start > 0 && { isContinuation: true }) });
      start = end;
    }
    return parts;
  }
}

/**
 * Yield the offsets at which to split a list: between items.
 * @param {Token} list
 * @param {number} maxLength
 */
function* itemEnds({ items }, maxLength) {
  let start = 0;
  let end = 0;
  for (const { raw } of items.slice(0, -1)) {
    end += raw.length;
    if (end - start < maxLength) continue;
    yield end;
    start = end;
  }
}

/**
 * Yield the offsets at which to split a paragraph: after a sentence, outside of emphasis, code and links; between words if there is no
 * such place.
 * @param {Token} paragraph
 * @param {number} maxLength
 */
function* sentenceEnds({ raw }, maxLength) {
  let start = 0;
  // The next part starts with a letter, so that it does not become another type of block.
  for (const { index, 0: space } of raw.matchAll(/(?:\S[ \n]|[。！？；，、])(?=\p{L})/gu)) {
    const end = index + space.length;
    if (end - start < maxLength) continue;
    const isSentence = /[.!?…:;。！？；]/.test(space) && isBalanced(raw.slice(start, end));
    if (!isSentence && end - start < 2 * maxLength) continue;
    yield end;
    start = end;
  }
}

/** @param {string} text */
function isBalanced(text) {
  const count = (/** @type {string} */ character) => text.split(character).length - 1;
  return ["`", "*", "_", "~"].every((character) => count(character) % 2 === 0) && count("[") === count("]") && count("(") === count(")");
}
