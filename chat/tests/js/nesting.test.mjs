/** The nesting depth of a text: the same cases as chat/tests/markdown/test_markdown.py. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { levels } from "../../../static/js/nesting.js";

const CASES = /** @type {[string, number][]} */ ([
  ["text", 0],
  ["- a\n- b", 1],
  ["- a\n  - b\n- c\n  - d", 2],
  ["> 1. a", 2],
  [">>> a", 3],
  [`${"- ".repeat(1200)}a`, 1200],
  [Array.from({ length: 1200 }, (_, level) => `${"  ".repeat(level)}- a`).join("\n"), 1200],
  [`${">".repeat(3000)} a`, 3000],
  ["-- a\n2026 was\n3.5", 0],
]);

for (const [text, depth] of CASES) {
  test(`levels of ${JSON.stringify(text.slice(0, 30))}`, () => assert.equal(levels(text), depth));
}
