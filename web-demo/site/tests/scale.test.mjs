// The numbers behind the charts.
import assert from "node:assert/strict";
import test from "node:test";
import { axis, inBytes, thin } from "../page/scale.js";

test("marks are round, start at 0 and stay within the axis", () => {
  for (const max of [0.3, 1, 7, 99, 100, 3237, 100_001]) {
    const { marks } = axis(max, 4);
    assert.equal(marks[0], 0);
    assert.ok(marks.at(-1) <= max * 1.000001, `${max}: ${marks}`);
    assert.ok(marks.length >= 2 && marks.length <= 6, `${max}: ${marks}`);
    assert.ok([1, 2, 5].includes(Number((marks[1] / 10 ** Math.floor(Math.log10(marks[1]) + 1e-9)).toFixed(6))), `${max}: step ${marks[1]}`);
  }
  assert.deepEqual(axis(0, 4).marks, [0]);
});

test("thinning keeps the ends and every column's extremes, in order", () => {
  const points = Array.from({ length: 10_000 }, (_, x) => ({ x, y: (x * 7919) % 1009 }));
  points[5003].y = 5000;
  points[7777].y = -3;
  const kept = thin(points, 10_000, 300);
  assert.ok(kept.length <= 1200);
  assert.equal(kept[0], points[0]);
  assert.equal(kept.at(-1), points.at(-1));
  assert.ok(kept.includes(points[5003]) && kept.includes(points[7777]));
  for (let i = 1; i < kept.length; i++) assert.ok(kept[i].x > kept[i - 1].x);
  assert.equal(thin(points.slice(0, 50), 50, 300).length, 50);
});

test("bytes", () => {
  assert.deepEqual([0, 999, 1000, 11_974_736, 999_950, 123_456_789].map(inBytes), ["0 B", "999 B", "1.0 KB", "12.0 MB", "1.0 MB", "123 MB"]);
});
