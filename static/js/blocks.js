// @ts-check
/** Split a Markdown text that grows into blocks: what cannot change any more is not parsed again. */

/**
 * @typedef {{type: string, raw: string, [key: string]: any}} Token
 * @typedef {Token[] & {links: Record<string, unknown>}} Tokens
 */

// A line that has just begun may still become a part of the block before it, as "2" does before it is "2. milk".
const OPEN_BLOCKS = 2;

export class BlockSplitter {
  /** @param {(text: string) => Tokens} lexer  its tokens' `raw` make up the text */
  constructor(lexer) {
    this.lexer = lexer;
    this.reset();
  }

  reset() {
    /** @type {Token[]} */
    this.closed = [];
    this.closedText = "";
  }

  /**
   * Return the blocks of a text. After a text that it begins with, only the last of them are parsed.
   * @param {string} text
   * @returns {Tokens}
   */
  split(text) {
    if (!text.startsWith(this.closedText)) this.reset();
    const open = this.lexer(text.slice(this.closedText.length));
    // The definition of a link counts in the whole text, and the parser replaces carriage returns.
    if (Object.keys(open.links).length > 0 || text.includes("\r", this.closedText.length)) {
      const { closed } = this;
      this.reset();
      return closed.length > 0 ? this.lexer(text) : open;
    }
    const blocks = Object.assign([...this.closed, ...open], { links: open.links });
    this.close(text, open);
    return blocks;
  }

  /**
   * Close what ends with an empty line and has enough blocks behind it.
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
      if (!text.endsWith("\n\n", end)) continue;
      count = index + 1;
      this.closedText = text.slice(0, end);
    }
    this.closed.push(...open.slice(0, count));
  }
}
