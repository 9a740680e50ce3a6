// @ts-check
// Which stretch of the text each page replaced: plain bookkeeping of offsets, no DOM.

/** @typedef {{page: number, start: number, end: number}} Leaf offsets in UTF-16 units, end excluded */

export class Leaves {
  #text = "";
  /** @type {Leaf[]} */ leaves = [];
  /** Pages whose text has not come yet. @type {{page: number, text: string}[]} */ #early = [];

  get text() {
    return this.#text;
  }

  /** Where the text begins that no page has replaced. */
  get folded() {
    return this.leaves.at(-1)?.end ?? 0;
  }

  /** @param {string} text @returns {Leaf[]} leaves that were waiting for it */
  append(text) {
    this.#text += text;
    return this.#early.length > 0 ? this.#settle() : [];
  }

  /** @param {number} page @param {string} text that the page replaces @returns {Leaf[]} new leaves: none while its text has not come */
  fold(page, text) {
    this.#early.push({ page, text });
    return this.#settle();
  }

  #settle() {
    /** @type {Leaf[]} */ const settled = [];
    while (this.#early.length > 0) {
      const { page, text } = this.#early[0];
      // Mostly right where the last page ended. A short tail of the prompt stays text for good: then a gap lies between.
      const start = this.#text.startsWith(text, this.folded) ? this.folded : this.#text.indexOf(text, this.folded);
      if (start < 0) break;
      this.#early.shift();
      const leaf = { page, start, end: start + text.length };
      this.leaves.push(leaf);
      settled.push(leaf);
    }
    return settled;
  }
}
