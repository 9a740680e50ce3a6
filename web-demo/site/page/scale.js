// @ts-check
// Numbers for the charts: round steps for an axis, and thousands of points thinned to what a pixel can show.

/** @typedef {{x: number, y: number}} Point */

/** A round upper end for an axis and its marks: 1, 2 or 5 times a power of ten apart. @param {number} max @param {number} count about so many marks @returns {{top: number, marks: number[]}} */
export function axis(max, count) {
  if (!(max > 0)) return { top: 1, marks: [0] };
  const rough = max / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const steps = [1, 2, 5, 10].map((times) => times * power);
  // At least one mark besides 0.
  const step = steps.find((step) => step >= rough && step <= max) ?? steps.findLast((step) => step <= max) ?? power;
  const marks = [];
  for (let i = 0; i * step <= max * (1 + 1e-9); i++) marks.push(i * step);
  return { top: max, marks };
}

/**
 * Keeps of each column the first, lowest, highest and last point, in order: a line through them looks as it would
 * through all. @param {Point[]} points by rising x @param {number} maxX @param {number} columns @returns {Point[]}
 */
export function thin(points, maxX, columns) {
  if (points.length <= 4 * columns) return points;
  /** @type {Point[]} */ const kept = [];
  const columnOf = (/** @type {Point} */ { x }) => Math.min(columns - 1, Math.floor((x / maxX) * columns));
  for (let i = 0; i < points.length; ) {
    const column = columnOf(points[i]);
    let low = i;
    let high = i;
    let end = i;
    for (; end < points.length && columnOf(points[end]) === column; end++) {
      if (points[end].y < points[low].y) low = end;
      if (points[end].y > points[high].y) high = end;
    }
    for (const index of [...new Set([i, low, high, end - 1])].sort((a, b) => a - b)) kept.push(points[index]);
    i = end;
  }
  return kept;
}

/** @param {number} bytes @returns {string} */
export function inBytes(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  for (; bytes >= 999.5 && unit < units.length - 1; unit++) bytes /= 1000;
  return `${bytes >= 99.95 || unit === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

/** @param {number} n @returns {string} */
export const inThousands = (n) => Math.round(n).toLocaleString("en");
