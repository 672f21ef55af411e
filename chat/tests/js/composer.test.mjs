/** Which keys send what is written. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { sends } from "../../../static/js/composer.js";

const enter = (/** @type {object} */ more) => /** @type {KeyboardEvent} */ ({ key: "Enter", keyCode: 13, shiftKey: false, isComposing: false, ...more });

test("Enter sends", () => assert.equal(sends(enter({})), true));
test("Shift and Enter begin a line", () => assert.equal(sends(enter({ shiftKey: true })), false));
test("another key sends nothing", () => assert.equal(sends(enter({ key: "a", keyCode: 65 })), false));
test("Enter that picks a word of an input method sends nothing", () => assert.equal(sends(enter({ isComposing: true })), false));
test("Safari's Enter that ends a composition sends nothing", () => assert.equal(sends(enter({ keyCode: 229 })), false));
