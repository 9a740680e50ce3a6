// @ts-check
// Events of one generation as an async iterator: what has come waits in a queue, who waits for more is called.

/** @typedef {import("./folio.js").Event} Event */

/** @implements {AsyncIterableIterator<Event>} */
export class EventStream {
  /** @type {Event[]} */ #queue = [];
  #taken = 0;
  /** @type {{resolve: (result: IteratorResult<Event>) => void, reject: (error: Error) => void}[]} */ #waiting = [];
  #ended = false;
  /** @type {Error | null} */ #error = null;
  /** @type {() => Promise<void>} */ #stop;

  /** @param {() => Promise<void>} stop called when the reader leaves the loop before the end */
  constructor(stop) {
    this.#stop = stop;
    /** @type {() => void} */ let settle = () => {};
    /** Resolves at the end, whether good or bad. @type {Promise<void>} */
    this.ended = new Promise((resolve) => (settle = resolve));
    this.settle = settle;
  }

  /** @param {Event[]} events */
  push(events) {
    for (const event of events) {
      const waiting = this.#waiting.shift();
      if (waiting) waiting.resolve({ value: event, done: false });
      else this.#queue.push(event);
    }
  }

  /** @param {Error} [error] */
  end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error ?? null;
    for (const waiting of this.#waiting.splice(0)) {
      this.#error = null; // told once
      if (error) waiting.reject(error);
      else waiting.resolve({ value: undefined, done: true });
    }
    this.settle();
  }

  /** @returns {Promise<IteratorResult<Event>>} */
  next() {
    if (this.#taken < this.#queue.length) {
      const value = this.#queue[this.#taken++];
      if (this.#taken === this.#queue.length) {
        this.#queue = [];
        this.#taken = 0;
      }
      return Promise.resolve({ value, done: false });
    }
    if (this.#error) {
      const error = this.#error;
      this.#error = null;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** What `break` calls: stops the generation, and waits until it has, so that the next one can start. */
  async return() {
    if (!this.#ended) await this.#stop();
    this.#queue = [];
    this.#taken = 0;
    return /** @type {IteratorResult<Event>} */ ({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
