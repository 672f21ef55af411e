/** A growing Markdown text splits into the same blocks as the whole text, and only its end is parsed again. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { BlockSplitter } from "../../../static/js/blocks.js";
import { Marked } from "../../../static/vendor/marked/marked.esm.js";

const marked = new Marked({ gfm: true, breaks: true });
const lexer = (text) => marked.lexer(text);
const SHORT = { paragraph: 40, list: 40 };
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

test("a growing text splits into the same blocks as the whole text", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
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

test("a long paragraph or list is cut at the same places when it grows and when it is complete", () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const splitter = new BlockSplitter(lexer, SHORT);
    const next = numbers(seed);
    let text = "";
    for (let step = 0; step < 80; step += 1) {
      const piece = next.next().value % 3 === 0 ? PIECES[next.next().value % PIECES.length] : ["and so on ", "it is. ", "\n- one ", "\n2. two "][next.next().value % 4];
      text += piece;
      const whole = new BlockSplitter(lexer, SHORT).split(text);
      assert.deepEqual(splitter.split(text), whole, JSON.stringify(text));
      assert.equal(whole.map(({ raw }) => raw).join(""), lexer(text).map(({ raw }) => raw).join(""));
    }
  }
});

test("parts of a long block keep its type, and the parsed part stays short", () => {
  for (const [line, type] of [["A sentence of **some** words. ", "paragraph"], ["昨天我去看牙医了。", "paragraph"], ["\n1. An item", "list"]]) {
    let parsed = 0;
    const splitter = new BlockSplitter((part) => {
      parsed = Math.max(parsed, part.length);
      return lexer(part);
    }, { paragraph: 200, list: 200 });
    let text = "";
    let blocks = [];
    for (let n = 0; n < 300; n += 1) blocks = splitter.split((text += line));
    assert.ok(parsed < 1000, `${parsed} of ${text.length} characters`);
    assert.deepEqual(new Set(blocks.filter((block) => block.type !== "space").map((block) => block.type)), new Set([type]));
    assert.deepEqual(blocks.filter((block) => block.type !== "space").map((block) => block.isContinuation ?? false).slice(0, 3), [false, true, true]);
  }
});

test("the parsed part does not grow with the text", () => {
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

test("a different text is parsed from its start, and a link definition applies to the whole text", () => {
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
