// @ts-check
// A page enlarged, with the text that it replaced. Esc closes it, arrow keys turn the leaves.

/** @typedef {import("./pages.js").Leaf} Leaf */

/** @param {string} id @returns {any} */
const get = (id) => document.getElementById(id);

export class Viewer {
  #at = 0;
  /** @type {() => Leaf[]} */ #leaves;
  /** @type {HTMLDialogElement} */ #dialog = get("viewer");

  /** @param {() => Leaf[]} leaves */
  constructor(leaves) {
    this.#leaves = leaves;
    get("viewer-previous").onclick = () => this.#turn(-1);
    get("viewer-next").onclick = () => this.#turn(1);
    get("viewer-close").onclick = () => this.#dialog.close();
    this.#dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") this.#turn(-1);
      else if (event.key === "ArrowRight") this.#turn(1);
      else if (event.key === "Home") this.#turn(-Infinity);
      else if (event.key === "End") this.#turn(Infinity);
      else return;
      event.preventDefault();
    });
    // A click on the backdrop is a click on the dialog itself.
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
  }

  /** @param {number} index */
  open(index) {
    this.#at = this.#leaves().findIndex((leaf) => leaf.index === index);
    if (this.#at < 0) return;
    this.#show();
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  /** @param {number} by */
  #turn(by) {
    const last = this.#leaves().length - 1;
    this.#at = Math.min(last, Math.max(0, this.#at + by));
    this.#show();
  }

  #show() {
    const leaves = this.#leaves();
    const { index, text, url, width, height, note } = leaves[this.#at];
    get("viewer-title").textContent = `Page ${index + 1} of ${leaves.length}`;
    Object.assign(get("viewer-image"), { src: url, width: width * 2, height: height * 2, alt: text });
    get("viewer-note").textContent = note;
    get("viewer-text").textContent = text;
    get("viewer-previous").disabled = this.#at === 0;
    get("viewer-next").disabled = this.#at === leaves.length - 1;
  }
}
