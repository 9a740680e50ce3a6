// @ts-check
// Events on their way to the page, in batches: a message per token would cost the page more than the tokens do.

/** @typedef {import("./folio.js").Event} Event */

/** One batch in about two frames of the page. */
const INTERVAL_MS = 32;

export class Outbox {
  /** @type {Event[]} */ #events = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #sentAt = 0;
  /** @type {(events: Event[], transfer: Transferable[]) => void} */ #send;

  /** @param {(events: Event[], transfer: Transferable[]) => void} send */
  constructor(send) {
    this.#send = send;
  }

  /** @param {Event} event */
  push(event) {
    this.#events.push(event);
    const due = performance.now() - this.#sentAt >= INTERVAL_MS;
    // The timer is for the token before a slow step, such as a fold: it should not wait for what comes after.
    if (due) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), INTERVAL_MS);
  }

  flush() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.#sentAt = performance.now();
    // A picture is handed over, not copied, when its buffer is its own.
    const pictures = events.flatMap((event) => (event.type === "page" ? [event.png] : []));
    this.#send(events, pictures.filter((png) => png.byteLength === png.buffer.byteLength).map((png) => png.buffer));
  }
}
