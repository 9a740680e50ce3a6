// @ts-check
// How far loading has come.

import { inBytes } from "./scale.js";

/** @typedef {import("../folio.js").Progress} Progress */

const STEPS = { "testing the GPU": "Testing the GPU", loading: "Moving weights to the GPU", compiling: "Compiling shaders" };

export class LoadProgress {
  #abort = new AbortController();
  /** Weights go on to the GPU while they arrive; the slower of the two is what is waited for. */
  #downloading = false;
  /** What the engine does meanwhile: all that is left when everything has arrived. @type {Extract<Progress, {share: number}> | null} */ #step = null;

  /** @param {{box: HTMLElement, bar: HTMLProgressElement, text: HTMLElement, cancel: HTMLButtonElement}} places */
  constructor(places) {
    this.places = places;
    places.cancel.onclick = () => this.#abort.abort();
  }

  /** @returns {AbortSignal} aborted by the Cancel button */
  start() {
    this.#abort = new AbortController();
    this.#downloading = false;
    this.#step = null;
    this.places.box.hidden = false;
    this.#show("Starting", null);
    return this.#abort.signal;
  }

  /** @param {Progress} step */
  show(step) {
    if (step.what === "downloading") {
      const { done, total } = step;
      this.#downloading = total === null || done < total;
      if (!this.#downloading && this.#step) this.#show(STEPS[this.#step.what], this.#step.share);
      else this.#show(total === null ? `Downloading: ${inBytes(done)}` : `Downloading: ${inBytes(done)} of ${inBytes(total)}`, total ? done / total : null);
    } else if (step.what === "waiting for another tab") this.#show("Another tab is downloading this model; waiting for it", null);
    else {
      this.#step = step;
      if (!this.#downloading || step.what !== "loading") this.#show(STEPS[step.what], step.share);
    }
  }

  end() {
    this.places.box.hidden = true;
  }

  /** @param {string} text @param {number | null} share */
  #show(text, share) {
    this.places.text.textContent = text;
    if (share === null) this.places.bar.removeAttribute("value");
    else this.places.bar.value = share;
  }
}
