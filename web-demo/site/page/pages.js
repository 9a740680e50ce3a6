// @ts-check
// The pages: the newest large, all in a strip, each tied to the text that it replaced.

import { inThousands } from "./scale.js";

/**
 * @typedef {object} Leaf
 * @property {number} index
 * @property {string} text
 * @property {string} url of the image
 * @property {number} width
 * @property {number} height
 * @property {string} note what folding made of it, in words
 * @property {HTMLElement} button
 */

export class PageStrip {
  /** @type {Leaf[]} */ leaves = [];
  /** @type {HTMLElement} */ #strip;
  /** @type {HTMLElement} */ #newest;
  #scrolling = false;

  /**
   * @param {{strip: HTMLElement, newest: HTMLElement, count: HTMLElement, none: HTMLElement}} places
   * @param {{point: (page: number, on: boolean) => void, open: (page: number) => void}} on
   */
  constructor({ strip, newest, count, none }, on) {
    this.#strip = strip;
    this.#newest = newest;
    this.count = count;
    this.none = none;
    this.on = on;
    this.clear();
  }

  clear() {
    for (const { url } of this.leaves) URL.revokeObjectURL(url);
    this.leaves = [];
    this.#strip.replaceChildren();
    this.#newest.replaceChildren(placeholder());
    this.#told();
  }

  #told() {
    this.count.textContent = this.leaves.length > 0 ? String(this.leaves.length) : "";
    this.none.hidden = this.leaves.length > 0;
  }

  /** @param {{index: number, text: string, width: number, height: number, png: Uint8Array<ArrayBuffer>}} page */
  add({ index, text, width, height, png }) {
    const url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    const button = this.#button(index, url, width, height, opening(text));
    const leaf = { index, text, url, width, height, note: "", button };
    this.leaves.push(leaf);
    const item = document.createElement("li");
    item.append(button);
    this.#strip.append(item);
    const large = this.#button(index, url, width, height, opening(text));
    const caption = document.createElement("p");
    caption.className = "note";
    caption.textContent = `Page ${index + 1}`;
    this.#newest.replaceChildren(large, caption);
    this.#told();
    this.#keepEnd();
  }

  /** @param {{index: number, tokens: number, slots: number, contextSlots: number}} fold */
  folded({ index, tokens, slots, contextSlots }) {
    const leaf = this.leaves.find((leaf) => leaf.index === index);
    if (!leaf) return;
    leaf.note = `${inThousands(tokens)} tokens of text became ${inThousands(slots)} slots; the context then held ${inThousands(contextSlots)}.`;
    if (leaf !== this.leaves.at(-1)) return;
    const caption = this.#newest.querySelector(".note");
    if (caption) caption.textContent = `Page ${index + 1}: ${inThousands(tokens)} tokens → ${inThousands(slots)} slots`;
  }

  /** @param {number} page @param {boolean} on */
  highlight(page, on) {
    this.leaves.find(({ index }) => index === page)?.button.classList.toggle("lit", on);
    const large = /** @type {HTMLElement | null} */ (this.#newest.querySelector("button"));
    if (large?.dataset.page === String(page)) large.classList.toggle("lit", on);
  }

  /** Brings a page into the strip's sight. @param {number} page */
  reveal(page) {
    const button = this.leaves.find(({ index }) => index === page)?.button;
    if (!button || this.#strip.matches(":hover")) return;
    const strip = this.#strip.getBoundingClientRect();
    const at = button.getBoundingClientRect();
    if (at.left < strip.left || at.right > strip.right) this.#strip.scrollLeft += at.left - strip.left - strip.width / 3;
  }

  /** @param {number} index @param {string} url @param {number} width @param {number} height @param {string} words */
  #button(index, url, width, height, words) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "leaf";
    button.dataset.page = String(index);
    button.setAttribute("aria-label", `Page ${index + 1}, beginning “${words}”. Enlarge.`);
    const image = document.createElement("img");
    Object.assign(image, { src: url, width, height, alt: "", decoding: "async" });
    const number = document.createElement("span");
    number.className = "number";
    number.textContent = String(index + 1);
    button.append(image, number);
    button.onclick = () => this.on.open(index);
    button.onmouseenter = button.onfocus = () => this.on.point(index, true);
    button.onmouseleave = button.onblur = () => this.on.point(index, false);
    return button;
  }

  /** The strip stays at its newest page, but not while somebody is looking at it. */
  #keepEnd() {
    if (this.#scrolling || this.#strip.matches(":hover, :focus-within")) return;
    this.#scrolling = true;
    requestAnimationFrame(() => {
      this.#scrolling = false;
      this.#strip.scrollLeft = this.#strip.scrollWidth;
    });
  }
}

/** @param {string} text */
const opening = (text) => text.trim().replace(/\s+/g, " ").slice(0, 40);

function placeholder() {
  const empty = document.createElement("div");
  empty.className = "leaf empty";
  empty.textContent = "The first page appears here when a chunk of text is full.";
  return empty;
}
