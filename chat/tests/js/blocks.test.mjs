/** A Markdown text that grows is split as the whole is, and only its end is parsed again. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { BlockSplitter } from "../../../static/js/blocks.js";
import { Marked } from "../../../static/vendor/marked/marked.esm.js";

const marked = new Marked({ gfm: true, breaks: true });
const lexer = (text) => marked.lexer(text);
const PIECES = [
  "word", " ", " ", "\n", "\n", "\n\n", "- ", "1. ", "2", ". ", "> ", "# ", "```", "```js\n", "    ", "  ", "| a | b |\n|---|---|\n", "| ", "===", "---", "<div>",
  "**", "`", "[a]", "(b)", "* ", "\t", "<!-- ", "-->", "~~~\n", "[x] ", "+ ", "\\", "&amp;", "https://example.com ",
];

/** @param {number} seed */
function* numbers(seed) {
  for (let state = seed; ; ) {
    state = (state * 48271) % 2147483647;
    yield state;
  }
}

test("at each of its lengths a text has the blocks that it has when it is parsed as a whole", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const splitter = new BlockSplitter(lexer);
    const next = numbers(seed);
    let text = "";
    for (let step = 0; step < 60; step += 1) {
      text += PIECES[next.next().value % PIECES.length];
      const whole = JSON.stringify(lexer(text));
      assert.equal(JSON.stringify([...splitter.split(text)]), whole, JSON.stringify(text));
    }
  }
});

test("what is parsed does not grow with the text", () => {
  let parsed = 0;
  const splitter = new BlockSplitter((text) => {
    parsed = text.length;
    return lexer(text);
  });
  let text = "";
  for (let n = 0; n < 500; n += 1) {
    text += `Paragraph ${n} of a long reply.\n\n`;
    splitter.split(text);
    assert.ok(parsed < 200, `${parsed} of ${text.length} characters`);
  }
  assert.equal(splitter.split(text).filter(({ type }) => type === "paragraph").length, 500);
});

test("another text is parsed from its beginning, and the definition of a link counts everywhere", () => {
  const splitter = new BlockSplitter(lexer);
  splitter.split("one\n\ntwo\n\nthree\n\n[four]");
  assert.deepEqual(splitter.split("1\n\n2").map(({ raw }) => raw), ["1", "\n\n", "2"]);
  const text = "[four]\n\ntwo\n\nthree\n\nlast";
  splitter.split(text);
  const defined = `${text}\n\n[four]: https://example.com`;
  assert.deepEqual([...splitter.split(defined)], [...lexer(defined)]);
  assert.deepEqual(Object.keys(splitter.split(defined).links), ["four"]);
  splitter.split("a\r\n\r\nb\r\n\r\nc");
  assert.deepEqual([...splitter.split("a\r\n\r\nb\r\n\r\nc\r\n\r\nd")], [...lexer("a\r\n\r\nb\r\n\r\nc\r\n\r\nd")]);
});
