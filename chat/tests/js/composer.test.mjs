/** Which keys send the message in the composer. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { isSendKey } from "../../../static/js/composer.js";

const enter = (/** @type {object} */ more) => /** @type {KeyboardEvent} */ ({ key: "Enter", keyCode: 13, shiftKey: false, isComposing: false, ...more });

test("Enter sends the message", () => assert.equal(isSendKey(enter({})), true));
test("Shift+Enter starts a new line", () => assert.equal(isSendKey(enter({ shiftKey: true })), false));
test("other keys send nothing", () => assert.equal(isSendKey(enter({ key: "a", keyCode: 65 })), false));
test("Enter during an input method composition sends nothing", () => assert.equal(isSendKey(enter({ isComposing: true })), false));
test("Enter that ends a composition in Safari sends nothing", () => assert.equal(isSendKey(enter({ keyCode: 229 })), false));
