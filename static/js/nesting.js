// @ts-check
/** How deeply a Markdown text is nested: a parser takes seconds, or the whole stack, for a thousand levels. */

const CONTAINER = /[ \t]*(>|(?:[-+*]|\d{1,9}[.)])(?=[ \t]))/y;

/**
 * Return how deeply quotes and lists are nested, at most; the same as `levels` of `chat/infra/markdown.py`.
 * @param {string} text
 */
export function levels(text) {
  let deepest = 0;
  /** @type {number[]} */
  const openAt = [];
  for (const line of text.split("\n")) {
    let count = 0;
    CONTAINER.lastIndex = 0;
    for (let found = CONTAINER.exec(line); found !== null; found = CONTAINER.exec(line)) {
      const at = CONTAINER.lastIndex - found[1].length;
      if (count === 0) {
        while (openAt.length > 0 && openAt[openAt.length - 1] >= at) openAt.pop();
        openAt.push(at);
      }
      count += 1;
    }
    if (count > 0) deepest = Math.max(deepest, openAt.length + count - 1);
  }
  return deepest;
}
