// @ts-check
// The library's face on the page's thread. It owns a worker and passes messages; it computes nothing.

import { FolioError, asFolioError } from "./errors.js";
import { EventStream } from "./stream.js";
import { cachedBytes, deleteCache } from "./store/cache.js";
import { fetchManifest, toRequest } from "./store/request.js";

export { FolioError };

/**
 * @typedef {import("./folio.js").LoadOptions} LoadOptions
 * @typedef {import("./folio.js").Settings} Settings
 * @typedef {import("./protocol.js").FromWorker} FromWorker
 * @typedef {import("./protocol.js").Call} Call
 * @typedef {import("./protocol.js").Replies} Replies
 * @typedef {import("./protocol.js").Start} Start
 * @typedef {import("./protocol.js").Loaded} Loaded
 */

/** Sessions are kilobytes: a larger file is another one, picked by mistake, and is not read. */
const SESSION_BYTES = 64 << 20;

export class Folio {
  /** @type {Worker} */ #worker;
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */ #calls = new Map();
  #lastCall = 0;
  #lastRun = 0;
  /** @type {EventStream | null} */ #stream = null;
  /** @type {((progress: import("./folio.js").Progress) => void) | undefined} */ #onProgress;
  /** @type {Loaded} */ #loaded = /** @type {any} */ (null);
  /** @type {Error | null} */ #dead = null;

  /** @param {Worker} worker */
  constructor(worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => this.#hear(data);
    // A worker that cannot be fetched or that breaks down outside any call says so only here, and often without words.
    worker.onerror = (event) => {
      event.preventDefault();
      this.#die(new FolioError("engine", `the worker stopped: ${event.message || "worker.js could not be run"}; load the model again`));
    };
  }

  /** @param {LoadOptions} options */
  static async load(options) {
    const { signal, onProgress, software, memoryBytes, slots } = options;
    signal?.throwIfAborted();
    const request = await toRequest(options);
    signal?.throwIfAborted();
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "folio" });
    const folio = new Folio(worker);
    folio.#onProgress = onProgress;
    // Ending the worker is the whole of an abort: the browser closes its files and connections, and keeps what was written.
    const aborted = () => folio.#die(signal?.reason);
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      folio.#loaded = await folio.#call({ name: "load", request, settings: { software, memoryBytes, slots } });
      return folio;
    } catch (error) {
      folio.#die(/** @type {Error} */ (error));
      throw error;
    } finally {
      signal?.removeEventListener("abort", aborted);
      folio.#onProgress = undefined;
    }
  }

  /** @param {string | URL} [at] */
  static manifest(at) {
    return fetchManifest(at);
  }

  static cachedBytes() {
    return cachedBytes();
  }

  static deleteCache() {
    return deleteCache();
  }

  get info() {
    return this.#loaded.info;
  }

  get defaults() {
    return this.#loaded.defaults;
  }

  device() {
    return this.#loaded.device;
  }

  /**
   * @param {string} prompt
   * @param {Settings} settings
   */
  generate(prompt, settings) {
    return this.#start(async () => ({ how: "generate", prompt, settings }));
  }

  /** @param {number} maxNewTokens */
  resume(maxNewTokens) {
    return this.#start(async () => ({ how: "resume", maxNewTokens }));
  }

  /**
   * @param {Blob} saved
   * @param {{maxNewTokens: number}} settings
   */
  restore(saved, { maxNewTokens }) {
    return this.#start(async () => ({ how: "restore", saved: await readSession(saved), maxNewTokens }));
  }

  async abort() {
    if (!this.#stream) return;
    this.#worker.postMessage({ type: "cancel", run: this.#lastRun });
    await this.#stream.ended;
  }

  async save() {
    const bytes = await this.#call({ name: "save" });
    return new Blob([bytes], { type: "application/json" });
  }

  counts() {
    return this.#call({ name: "counts" });
  }

  loseDevice() {
    return this.#call({ name: "loseDevice" });
  }

  async dispose() {
    if (this.#dead) return;
    // Freed in words first: a terminated worker's GPU buffers go only when the browser gets round to it. A worker that
    // hangs is ended all the same.
    const freed = this.abort().then(() => this.#call({ name: "free" }));
    await Promise.race([freed.catch(() => {}), new Promise((resolve) => setTimeout(resolve, 3000))]);
    this.#die(new FolioError("bad_argument", "this model has been disposed of; load it again"));
  }

  /** @param {() => Promise<Start>} start */
  #start(start) {
    if (this.#stream) throw new FolioError("bad_argument", "a generation is running; abort it or let it end, then start another");
    const stream = new EventStream(() => this.abort());
    const run = ++this.#lastRun;
    this.#stream = stream;
    start()
      .then((start) => this.#call({ name: "start", start, run }))
      .catch((error) => this.#end(asFolioError(error)));
    return stream;
  }

  /** @param {Error} [error] */
  #end(error) {
    const stream = this.#stream;
    this.#stream = null;
    stream?.end(error);
  }

  /**
   * @template {Call} C
   * @param {C} call
   * @returns {Promise<Replies[C["name"]]>}
   */
  #call(call) {
    if (this.#dead) return Promise.reject(this.#dead);
    const id = ++this.#lastCall;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#worker.postMessage({ type: "call", id, call });
    });
  }

  /** @param {FromWorker} message */
  #hear(message) {
    switch (message.type) {
      case "reply":
      case "failed": {
        const call = this.#calls.get(message.id);
        this.#calls.delete(message.id);
        if (message.type === "reply") call?.resolve(message.value);
        else call?.reject(new FolioError(message.error.code, message.error.message));
        break;
      }
      case "progress":
        this.#onProgress?.(message.progress);
        break;
      case "events":
        if (message.run === this.#lastRun) this.#stream?.push(message.events);
        break;
      case "ended":
        if (message.run === this.#lastRun) this.#end(message.error && new FolioError(message.error.code, message.error.message));
    }
  }

  /** @param {Error} error */
  #die(error) {
    if (this.#dead) return;
    this.#dead = error;
    this.#worker.terminate();
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
    this.#end(error);
  }
}

/** @param {Blob} saved @returns {Promise<Uint8Array>} */
async function readSession(saved) {
  if (saved.size > SESSION_BYTES) throw new FolioError("bad_session", `${saved.size} bytes is too large for a session file`);
  const bytes = await saved.arrayBuffer().catch((cause) => {
    throw new FolioError("bad_session", "the session file cannot be read; choose it again", { cause });
  });
  return new Uint8Array(bytes);
}
