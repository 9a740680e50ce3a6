// Which stretch of the text a page replaced.
import assert from "node:assert/strict";
import test from "node:test";
import { Leaves } from "../page/leaves.js";

test("pages take the text from its start on", () => {
  const leaves = new Leaves();
  leaves.append("aaa bbb ccc");
  assert.deepEqual(leaves.fold(0, "aaa "), [{ page: 0, start: 0, end: 4 }]);
  assert.deepEqual(leaves.fold(1, "bbb "), [{ page: 1, start: 4, end: 8 }]);
  assert.equal(leaves.folded, 8);
});

test("the same words twice: each page has its own", () => {
  const leaves = new Leaves();
  leaves.append("ha ha ha ");
  leaves.fold(0, "ha ");
  assert.deepEqual(leaves.fold(1, "ha "), [{ page: 1, start: 3, end: 6 }]);
});

test("a tail of the prompt that stays text lies between two pages", () => {
  const leaves = new Leaves();
  leaves.append("prompt tail and response");
  leaves.fold(0, "prompt ");
  assert.deepEqual(leaves.fold(1, "and resp"), [{ page: 1, start: 12, end: 20 }]);
});

test("a page that comes before its text waits, and those after it", () => {
  const leaves = new Leaves();
  leaves.append("one ");
  assert.deepEqual(leaves.fold(0, "one two "), []);
  assert.deepEqual(leaves.fold(1, "three"), []);
  assert.deepEqual(leaves.append("two "), [{ page: 0, start: 0, end: 8 }]);
  assert.deepEqual(leaves.append("three"), [{ page: 1, start: 8, end: 13 }]);
});

test("offsets count UTF-16 units, as text nodes do", () => {
  const leaves = new Leaves();
  leaves.append("𝔉é 𝔊");
  assert.deepEqual(leaves.fold(0, "𝔉é "), [{ page: 0, start: 0, end: 4 }]);
});
