// @ts-check
// The charts: what the context holds, folded, against what it would hold unfolded; and the speed. Drawn on a canvas by
// hand, a few times a second at most, from points thinned to the width of the canvas.

import { axis, inBytes, inThousands, thin } from "./scale.js";

/** @typedef {import("./scale.js").Point} Point */

/** Not multiples of each other: the two should seldom fall into one frame. */
const REDRAW_MS = { context: 170, speed: 410 };
const FONT = "11px system-ui, sans-serif";
const MARGIN = { top: 8, right: 56, bottom: 18, left: 42 };

/**
 * @typedef {object} Line
 * @property {Point[]} points
 * @property {string} color name of a custom property
 * @property {boolean} [dashed]
 * @property {boolean} [filled]
 */

class Canvas {
  /** @type {HTMLCanvasElement} */ #canvas;
  /** @type {() => void} */ #paint;
  #drawnAt = 0;
  #asked = false;

  #every;

  /** @param {HTMLCanvasElement} canvas @param {number} every ms, at most so often @param {() => void} paint */
  constructor(canvas, every, paint) {
    this.#every = every;
    this.#canvas = canvas;
    this.#paint = paint;
    new ResizeObserver(() => this.redraw(true)).observe(canvas);
  }

  /** @param {boolean} [now] */
  redraw(now = false) {
    if (now) this.#drawnAt = -this.#every;
    if (this.#asked) return;
    this.#asked = true;
    const wait = Math.max(0, this.#drawnAt + this.#every - performance.now());
    const paint = () => requestAnimationFrame(() => {
      this.#asked = false;
      this.#drawnAt = performance.now();
      this.#paint();
    });
    if (wait === 0) paint();
    else setTimeout(paint, wait);
  }

  /** A clean canvas in CSS pixels. @returns {{context: CanvasRenderingContext2D, width: number, height: number, color: (name: string) => string} | null} */
  clean() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const context = this.#canvas.getContext("2d");
    if (!context || width === 0) return null;
    const ratio = devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    context.scale(ratio, ratio);
    context.font = FONT;
    const style = getComputedStyle(this.#canvas);
    return { context, width, height, color: (name) => style.getPropertyValue(name).trim() };
  }
}

/**
 * @param {Canvas} canvas
 * @param {{lines: Line[], maxX: number, maxY: number, left: (y: number) => string, right?: (y: number) => string, below?: (x: number) => string, marks: number}} what
 */
function draw(canvas, { lines, maxX, maxY, left, right, below, marks }) {
  const surface = canvas.clean();
  if (!surface) return;
  const { context, width, height, color } = surface;
  const bottom = below ? MARGIN.bottom : 6;
  const plot = { x: MARGIN.left, y: MARGIN.top, w: width - MARGIN.left - (right ? MARGIN.right : 20), h: height - MARGIN.top - bottom };
  const atX = (/** @type {number} */ x) => plot.x + (x / maxX) * plot.w;
  const atY = (/** @type {number} */ y) => plot.y + plot.h - (y / maxY) * plot.h;

  context.textBaseline = "middle";
  for (const y of axis(maxY, marks).marks) {
    context.fillStyle = color("--rule");
    context.fillRect(plot.x, Math.round(atY(y)), plot.w, 1);
    context.fillStyle = color("--soft");
    context.textAlign = "right";
    context.fillText(left(y), plot.x - 6, atY(y));
    context.textAlign = "left";
    if (right && y > 0) context.fillText(right(y), plot.x + plot.w + 6, atY(y));
  }
  if (below) {
    context.textAlign = "center";
    const unit = "tokens";
    const clear = plot.x + context.measureText(unit).width + 24;
    for (const x of axis(maxX, Math.max(2, plot.w / 55)).marks) if (atX(x) > clear) context.fillText(below(x), atX(x), height - 7);
    context.textAlign = "left";
    context.fillText(unit, plot.x, height - 7);
  }
  for (const { points, color: name, dashed, filled } of lines) {
    const shown = thin(points, maxX, Math.max(1, Math.floor(plot.w)));
    if (shown.length === 0) continue;
    context.strokeStyle = context.fillStyle = color(name);
    context.beginPath();
    for (const { x, y } of shown) context.lineTo(atX(x), atY(y));
    context.lineWidth = dashed ? 1.5 : 2;
    context.lineJoin = "round";
    context.setLineDash(dashed ? [5, 4] : []);
    context.stroke();
    context.setLineDash([]);
    if (!filled) continue;
    context.lineTo(atX(shown[shown.length - 1].x), atY(0));
    context.lineTo(atX(shown[0].x), atY(0));
    context.globalAlpha = 0.16;
    context.fill();
    context.globalAlpha = 1;
  }
}

export class ContextChart {
  /** @type {Point[]} */ #folded = [];
  /** @type {Canvas} */ #canvas;
  #bytesPerSlot = 0;

  /** @param {HTMLCanvasElement} element @param {HTMLElement} legend */
  constructor(element, legend) {
    this.element = element;
    this.legend = legend;
    this.#canvas = new Canvas(element, REDRAW_MS.context, () => this.#paint());
  }

  /** @param {number} bytesPerSlot */
  clear(bytesPerSlot) {
    this.#folded = [];
    this.#bytesPerSlot = bytesPerSlot;
    this.#canvas.redraw();
  }

  /** @param {number} tokens of the document so far, the slots of an unfolded context @param {number} slots held */
  add(tokens, slots) {
    this.#folded.push({ x: tokens, y: slots });
    this.#canvas.redraw();
  }

  redraw() {
    this.#canvas.redraw(true);
  }

  /** What the picture shows, in words. */
  describe() {
    const last = this.#folded.at(-1);
    if (!last) return "Nothing is written yet.";
    const bytes = (/** @type {number} */ slots) => inBytes(slots * this.#bytesPerSlot);
    return `After ${inThousands(last.x)} tokens the context holds ${inThousands(last.y)} slots (${bytes(last.y)}); unfolded it would hold ${inThousands(last.x)} (${bytes(last.x)}).`;
  }

  #paint() {
    const last = this.#folded.at(-1);
    const tokens = last?.x ?? 0;
    const end = Math.max(tokens, 100);
    draw(this.#canvas, {
      lines: [
        { points: last ? [{ x: 0, y: 0 }, { x: tokens, y: tokens }] : [], color: "--soft", dashed: true },
        { points: this.#folded, color: "--rubric", filled: true },
      ],
      maxX: end,
      maxY: end * 1.04,
      left: inThousands,
      right: this.#bytesPerSlot > 0 ? (y) => inBytes(y * this.#bytesPerSlot) : undefined,
      below: inThousands,
      marks: 4,
    });
    this.legend.replaceChildren(
      item("folded", last ? `${inThousands(last.y)} slots, ${inBytes(last.y * this.#bytesPerSlot)}` : "folded"),
      item("unfolded", last ? `unfolded: ${inThousands(tokens)}, ${inBytes(tokens * this.#bytesPerSlot)}` : "unfolded"),
    );
    this.element.setAttribute("aria-label", this.describe());
  }
}

/** @param {string} kind @param {string} text */
function item(kind, text) {
  const span = document.createElement("span");
  span.className = `item ${kind}`;
  span.textContent = text;
  return span;
}

/** Tokens a point of the speed chart averages over. */
const WINDOW = 8;

export class SpeedChart {
  /** @type {Point[]} */ #points = [];
  /** @type {Canvas} */ #canvas;
  #count = 0;
  #since = 0;
  #max = 0;
  #total = 0;

  /** @param {HTMLCanvasElement} element */
  constructor(element) {
    this.#canvas = new Canvas(element, REDRAW_MS.speed, () => this.#paint());
  }

  clear() {
    this.#points = [];
    this.#total = this.#max = 0;
    this.pause();
    this.#canvas.redraw();
  }

  /** The time until the next token counts for nothing: somebody has stopped the writing. */
  pause() {
    this.#count = this.#since = 0;
  }

  /** @param {number} at ms */
  add(at) {
    this.#total++;
    if (this.#since === 0) this.#since = at;
    else if (++this.#count === WINDOW) {
      const rate = (WINDOW * 1000) / Math.max(0.01, at - this.#since);
      this.#points.push({ x: this.#total, y: rate });
      this.#max = Math.max(this.#max, rate);
      this.#since = at;
      this.#count = 0;
      this.#canvas.redraw();
    }
  }

  redraw() {
    this.#canvas.redraw(true);
  }

  #paint() {
    draw(this.#canvas, {
      lines: [{ points: this.#points, color: "--ink" }],
      maxX: Math.max(this.#total, 100),
      maxY: Math.max(this.#max * 1.1, 1),
      left: (y) => (y >= 1 || y === 0 ? inThousands(y) : y.toFixed(1)),
      marks: 2,
    });
  }
}
