// @ts-check
// The document on the page: takes a generation's events to the text, the pages, the charts and the account.

import { beginReport, endReport, report } from "./report.js";
import { inBytes, inThousands } from "./scale.js";

/**
 * @typedef {import("../folio.js").Event} Event
 * @typedef {import("../folio.js").ModelInfo} ModelInfo
 * @typedef {object} Views
 * @property {import("./text.js").TextView} text
 * @property {import("./pages.js").PageStrip} pages
 * @property {import("./chart.js").ContextChart} chart
 * @property {import("./chart.js").SpeedChart} speed
 * @property {HTMLElement} stats
 */

export class DocumentView {
  /** @type {Views} */ #views;
  /** @type {ModelInfo | null} */ #info = null;
  /** Tokens of the text that pages have replaced: until the first token comes, nobody else counts the prompt's. */
  #foldedTokens = 0;
  #clickedAt = 0;
  #firstAt = 0;
  #frame = 0;

  /** @param {Views} views */
  constructor(views) {
    this.#views = views;
    this.#account();
  }

  /** @param {ModelInfo} info @param {string} prompt shown at once: reading it may take a while */
  begin(info, prompt) {
    const { text, pages, chart, speed } = this.#views;
    this.#info = info;
    this.#foldedTokens = 0;
    text.clear();
    pages.clear();
    chart.clear(info.kvBytesPerSlot);
    speed.clear();
    text.append(prompt, true);
  }

  /** A run begins: figures are counted from the click. @param {number} clickedAt @param {boolean} sameDocument */
  start(clickedAt, sameDocument) {
    this.#clickedAt = clickedAt;
    this.#firstAt = 0;
    this.#views.speed.pause();
    beginReport(sameDocument);
  }

  /** @param {Event} event */
  take(event) {
    const { text, pages, chart } = this.#views;
    switch (event.type) {
      case "text":
        text.append(event.text, true);
        break;
      case "token":
        this.#token(event);
        break;
      case "page":
        pages.add(event);
        text.fold(event.index, event.text);
        break;
      case "folded":
        report.folds++;
        this.#foldedTokens += event.tokens;
        report.slots = event.contextSlots;
        report.unfoldedSlots = Math.max(report.unfoldedSlots, this.#foldedTokens + 1); // and BOS
        pages.folded(event);
        chart.add(report.unfoldedSlots, report.slots);
        break;
      case "stats":
        report.stats = event.stats;
        break;
      case "done":
        report.reason = event.reason;
    }
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      text.follow();
      this.#account();
    });
  }

  /** @param {Event & {type: "token"}} token */
  #token({ text, id, slots, tokens, at }) {
    const { chart, speed } = this.#views;
    if (report.firstTokenMs === null) {
      report.firstTokenMs = performance.now() - this.#clickedAt;
      this.#firstAt = at;
    }
    report.tokens.push(id);
    report.slots = slots;
    report.unfoldedSlots = tokens;
    if (at > this.#firstAt) report.tokensPerSecond = ((report.tokens.length - 1) * 1000) / (at - this.#firstAt);
    this.#views.text.append(text);
    chart.add(tokens, slots);
    speed.add(at);
  }

  end() {
    endReport();
    this.#views.text.follow();
    this.#views.chart.redraw();
    this.#views.speed.redraw();
    this.#account();
  }

  #account() {
    const bytes = this.#info?.kvBytesPerSlot ?? 0;
    const { slots, unfoldedSlots, folds, tokensPerSecond, firstTokenMs, tokens, stats, counts } = report;
    const share = unfoldedSlots > 0 ? ` (${Math.round((100 * slots) / unfoldedSlots)}%)` : "";
    const rows = [
      ["Written", `${inThousands(tokens.length)} tokens`],
      ["Pages", inThousands(folds)],
      ["Memory held", `${inThousands(slots)} slots, ${inBytes(slots * bytes)}${share}`],
      ["Unfolded", `${inThousands(unfoldedSlots)} slots, ${inBytes(unfoldedSlots * bytes)}`],
      ["Read again", readAgain(stats?.unfold)],
      ["Speed", tokensPerSecond ? `${tokensPerSecond.toFixed(1)} tokens/s` : "–"],
      ["First token after", firstTokenMs === null ? "–" : `${(firstTokenMs / 1000).toFixed(2)} s`],
      ["Seed", typeof stats?.seed === "number" ? String(stats.seed) : "–"],
      ["On the GPU", counts ? inBytes(counts.bufferBytes) : "–"],
      ["In the tab", counts ? inBytes(counts.wasmBytes) : "–"],
    ];
    const table = this.#views.stats;
    if (table.childElementCount === 0)
      for (const [name] of rows) {
        const row = document.createElement("div");
        row.append(Object.assign(document.createElement("dt"), { textContent: name }), document.createElement("dd"));
        table.append(row);
      }
    rows.forEach(([, value], i) => {
      const cell = table.children[i].lastElementChild;
      if (cell && cell.textContent !== value) cell.textContent = value;
    });
  }
}

/** What unfolding read, of the statistics' `unfold`. @param {unknown} unfold */
function readAgain(unfold) {
  const { pages_read: pages, tokens_read: tokens, kv_bytes_peak: most } = /** @type {Record<string, number>} */ (unfold ?? {});
  return pages === undefined ? "–" : `${inThousands(pages)} pages, ${inThousands(tokens)} tokens; at most ${inBytes(most)}`;
}
