/** Search results are split into pieces, with the matches marked. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { splitAtMarks } from "../../../static/js/search.js";

const shown = (text, marks) => splitAtMarks(text, marks).map(({ text: part, marked }) => (marked ? `[${part}]` : part));

test("text is split where matches begin and end", () => {
  assert.deepEqual(shown("buy milk today", [[4, 8]]), ["buy ", "[milk]", " today"]);
  assert.deepEqual(shown("milk", [[0, 4]]), ["[milk]"]);
  assert.deepEqual(shown("milk and milk", [[0, 4], [9, 13]]), ["[milk]", " and ", "[milk]"]);
  assert.deepEqual(shown("nothing", []), ["nothing"]);
  assert.deepEqual(shown("", []), []);
});

test("match offsets are counted in code points", () => {
  assert.deepEqual(shown("🧵🧵 milk 🎉", [[3, 7]]), ["🧵🧵 ", "[milk]", " 🎉"]);
});
