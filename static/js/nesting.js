// @ts-check
/** The nesting depth of a Markdown text: parsers take seconds for a thousand levels, or overflow the stack. */

const CONTAINER = /[ \t]*(>|(?:[-+*]|\d{1,9}[.)])(?=[ \t]))/y;

/**
 * Return the maximum nesting depth of quotes and lists; the same as `levels` of `chat/infra/markdown.py`.
 * @param {string} text
 */
export function levels(text) {
  let deepest = 0;
  /** @type {number[]} */
  const openColumns = [];
  for (const line of text.split("\n")) {
    let count = 0;
    CONTAINER.lastIndex = 0;
    for (let match = CONTAINER.exec(line); match !== null; match = CONTAINER.exec(line)) {
      const column = CONTAINER.lastIndex - match[1].length;
      if (count === 0) {
        while (openColumns.length > 0 && openColumns[openColumns.length - 1] >= column) openColumns.pop();
        openColumns.push(column);
      }
      count += 1;
    }
    if (count > 0) deepest = Math.max(deepest, openColumns.length + count - 1);
  }
  return deepest;
}
