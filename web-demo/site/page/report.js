// @ts-check
// What a run cost the tab: `window.folioReport`, for tests and for the curious.

/**
 * @typedef {object} Report
 * @property {string} state
 * @property {number | null} firstTokenMs from the click on Write to the first token in the page, loading included
 * @property {number | null} tokensPerSecond after the first token, folds included
 * @property {number} slots held now
 * @property {number} unfoldedSlots that an unfolded context would hold
 * @property {number} wasmBytes size of the WASM memory (it never shrinks)
 * @property {number} longestFrameMs longest task that blocked the page since the run began; 0: none over 50 ms
 * @property {number} longestGapMs longest time between two frames, whatever held them up
 * @property {number} folds
 * @property {number[]} tokens ids of the tokens written since the run began
 * @property {string | null} reason why it ended
 * @property {Record<string, unknown> | null} stats what the engine says of the run
 * @property {import("../folio.js").Counts | null} counts
 */

/** @type {Report} */
export const report = {
  state: "idle",
  firstTokenMs: null,
  tokensPerSecond: null,
  slots: 0,
  unfoldedSlots: 0,
  wasmBytes: 0,
  longestFrameMs: 0,
  longestGapMs: 0,
  folds: 0,
  tokens: [],
  reason: null,
  stats: null,
  counts: null,
};
Object.assign(window, { folioReport: report });

let watching = false;
let frameAt = 0;

/** Starts a run's figures. @param {boolean} sameDocument its pages stay */
export function beginReport(sameDocument) {
  Object.assign(report, { firstTokenMs: null, tokensPerSecond: null, longestFrameMs: 0, longestGapMs: 0, tokens: [], reason: null, stats: null, counts: null });
  if (!sameDocument) Object.assign(report, { folds: 0, slots: 0, unfoldedSlots: 0 });
  watching = true;
  frameAt = 0;
  requestAnimationFrame(frame);
}

export function endReport() {
  watching = false;
}

/** @param {number} now */
function frame(now) {
  if (!watching) return;
  // A hidden tab has no frames; what it missed was not blocked.
  if (frameAt > 0 && document.visibilityState === "visible") report.longestGapMs = Math.max(report.longestGapMs, now - frameAt);
  frameAt = document.visibilityState === "visible" ? now : 0;
  requestAnimationFrame(frame);
}

if (PerformanceObserver.supportedEntryTypes.includes("longtask"))
  new PerformanceObserver((list) => {
    if (watching) for (const { duration } of list.getEntries()) report.longestFrameMs = Math.max(report.longestFrameMs, duration);
  }).observe({ type: "longtask" });
