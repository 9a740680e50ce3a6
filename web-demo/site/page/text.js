// @ts-check
// The text as it is written. It only ever appends, and cuts a run of text in two where a page begins or ends: what is
// there is never drawn anew, so that the ten-thousandth token costs what the first does.

import { Leaves } from "./leaves.js";

/** @typedef {import("./leaves.js").Leaf} Leaf */
/** @typedef {{element: HTMLElement, start: number, length: number}} Paragraph */

/** A paragraph without a newline is ended after so much, at a space: layout works paragraph by paragraph. */
const LONG = 6000;

export class TextView {
  /** @type {HTMLElement} */ #box;
  #leaves = new Leaves();
  /** @type {Paragraph[]} */ #paragraphs = [];
  /** Paragraphs before this one are folded as a whole. */
  #firstOpen = 0;
  /** @type {Map<number, HTMLElement[]>} */ #runs = new Map();
  #follow = true;
  #top = 0;
  /** Whether the last run was. */
  #given = false;
  #lineEnded = false;

  /** @param {HTMLElement} box */
  constructor(box) {
    this.#box = box;
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  get text() {
    return this.#leaves.text;
  }

  clear() {
    this.#box.replaceChildren();
    this.#leaves = new Leaves();
    this.#paragraphs = [];
    this.#firstOpen = 0;
    this.#runs.clear();
    this.#follow = true;
    this.#top = 0;
    this.#given = this.#lineEnded = false;
  }

  /** @param {string} text @param {boolean} [given] not of the model's making: the prompt */
  append(text, given = false) {
    for (let at = 0; at < text.length; ) {
      const newline = text.indexOf("\n", at);
      const end = newline < 0 ? text.length : newline + 1;
      this.#appendLine(text.slice(at, end), given);
      at = end;
    }
    for (const leaf of this.#leaves.append(text)) this.#mark(leaf);
  }

  /** @param {string} line with at most one newline, at its end @param {boolean} given */
  #appendLine(line, given) {
    let paragraph = this.#paragraphs.at(-1);
    const full = paragraph && paragraph.length > LONG && line.startsWith(" ");
    if (!paragraph || full || this.#lineEnded) {
      const element = document.createElement("div");
      element.className = full ? "par same" : "par";
      paragraph = { element, start: paragraph ? paragraph.start + paragraph.length : 0, length: 0 };
      this.#paragraphs.push(paragraph);
      this.#box.append(element);
    }
    const run = /** @type {HTMLElement | null} */ (paragraph.element.lastElementChild);
    const open = run && run.dataset.page === undefined && run.classList.contains("given") === given;
    if (open && run.firstChild instanceof Text) run.firstChild.appendData(line);
    else {
      const span = document.createElement("span");
      if (given) span.className = "given";
      else if (this.#given) span.className = "own";
      this.#given = given;
      span.append(line);
      paragraph.element.append(span);
    }
    paragraph.length += line.length;
    this.#lineEnded = line.endsWith("\n");
    if (paragraph.length === 1 && line === "\n") paragraph.element.classList.add("blank");
  }

  /** @param {number} page @param {string} text */
  fold(page, text) {
    for (const leaf of this.#leaves.fold(page, text)) this.#mark(leaf);
  }

  /** @param {Leaf} leaf */
  #mark({ page, start, end }) {
    /** @type {HTMLElement[]} */ const marked = [];
    for (let i = this.#firstOpen; i < this.#paragraphs.length; i++) {
      const paragraph = this.#paragraphs[i];
      if (paragraph.start >= end) break;
      if (paragraph.start + paragraph.length <= end) this.#firstOpen = Math.min(i + 1, this.#paragraphs.length - 1); // the last may grow
      let at = paragraph.start;
      for (const run of /** @type {HTMLElement[]} */ ([...paragraph.element.children])) {
        const length = run.textContent?.length ?? 0;
        const piece = cut(run, Math.max(0, start - at), Math.min(length, end - at));
        at += length;
        if (!piece) continue;
        piece.dataset.page = String(page);
        marked.push(piece);
      }
    }
    marked[0]?.classList.add("first");
    this.#runs.set(page, marked);
  }

  /** Shows or hides which text a page replaced. @param {number} page @param {boolean} on */
  highlight(page, on) {
    for (const run of this.#runs.get(page) ?? []) run.classList.toggle("lit", on);
  }

  /** Brings the text that a page replaced into sight. @param {number} page */
  reveal(page) {
    const run = this.#runs.get(page)?.[0];
    if (!run) return;
    const box = this.#box.getBoundingClientRect();
    const at = run.getBoundingClientRect();
    if (at.top < box.top || at.bottom > box.bottom) this.#box.scrollTop += at.top - box.top - box.height / 4;
  }

  /** Keeps the end in sight, unless the reader has scrolled back. */
  follow() {
    if (!this.#follow) return;
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#top = this.#box.scrollTop;
  }

  /** Only going up is the reader's doing: between our scrolling and its event the text may have grown by lines. */
  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    if (scrollTop < this.#top - 1) this.#follow = false;
    if (scrollHeight - scrollTop - clientHeight < 40) this.#follow = true;
    this.#top = scrollTop;
  }
}

/** A run for the later part of this one. @param {HTMLElement} run @param {Text} text @returns {HTMLElement} */
function split(run, text) {
  const later = /** @type {HTMLElement} */ (run.cloneNode());
  later.classList.remove("own"); // that is where it begins
  later.append(text);
  run.after(later);
  return later;
}

/** The part [from, to) of a run as a run of its own. @param {HTMLElement} run @param {number} from @param {number} to @returns {HTMLElement | null} */
function cut(run, from, to) {
  const text = run.firstChild;
  if (from >= to || !(text instanceof Text) || run.dataset.page !== undefined) return null;
  if (to < text.length) split(run, text.splitText(to));
  return from === 0 ? run : split(run, text.splitText(from));
}
