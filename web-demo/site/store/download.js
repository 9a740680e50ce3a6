// @ts-check
// One file from the web into a sink: goes on where it was cut off, hashes as it arrives, and tells who waits for bytes.

import { FolioError } from "../errors.js";
import { Sha256 } from "./sha256.js";
import { PIECE } from "./sinks.js";
import { toldLength } from "./sources.js";

/**
 * @typedef {import("./sinks.js").Sink} Sink
 * @typedef {import("./sinks.js").Record} Record
 */

/** Waits before another attempt. A connection that gives something starts anew with the first. */
const RETRY_MS = [300, 1000, 3000];
/** A connection that says nothing for so long is taken for dead. */
const STALL_MS = 30_000;

export class Download {
  received = 0;
  /** @type {Error | null} */ failed = null;
  /** The server has no such file. */
  gone = false;
  /** @type {{end: number, resolve: () => void, reject: (error: Error) => void}[]} */ #waiting = [];
  #hash = new Sha256();
  /** Bytes that somebody may have read already. */
  #handed = 0;

  /**
   * @param {object} what
   * @param {string} what.url
   * @param {string} what.name
   * @param {number | null} what.size
   * @param {string | null} what.sha256
   * @param {Sink} what.sink
   * @param {Record | null} what.record of what the sink holds from an earlier attempt
   * @param {AbortSignal} what.signal
   * @param {(received: number) => void} what.onBytes
   */
  constructor({ url, name, size, sha256, sink, record, signal, onBytes }) {
    this.url = url;
    this.name = name;
    this.size = size;
    this.sha256 = sha256;
    this.sink = sink;
    this.signal = signal;
    this.onBytes = onBytes;
    // Without a hash and without the server's word for it, the start of one file may be followed by the end of another.
    const same = record !== null && record.sha256 === sha256 && (size === null || record.size === null || record.size === size);
    this.validator = same ? record.validator : null;
    if (!same || (sha256 === null && this.validator === null)) sink.clear();
  }

  /** Whether all bytes are in the sink; the hash may yet be wrong. */
  get complete() {
    return this.size !== null && this.received >= this.size;
  }

  /** Resolves when bytes [0, end) are in the sink. @param {number} end @returns {Promise<void>} */
  arrived(end) {
    if (this.received >= end) {
      this.#handed = Math.max(this.#handed, end);
      return Promise.resolve();
    }
    if (this.failed) return Promise.reject(this.failed);
    return new Promise((resolve, reject) => this.#waiting.push({ end, resolve, reject }));
  }

  /** @returns {Promise<void>} */
  async run() {
    try {
      this.#rehash();
      for (let attempt = 0; !this.complete; attempt++) {
        const before = this.received;
        const problem = await this.#attempt();
        if (problem === null) break;
        if (this.received > before) attempt = 0;
        if (attempt >= RETRY_MS.length) throw problem;
        await pause(RETRY_MS[attempt], this.signal);
      }
      await this.#check();
    } catch (error) {
      this.fail(/** @type {Error} */ (error));
      throw error;
    }
  }

  /** @param {Error} error */
  fail(error) {
    this.failed ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  /** What an earlier attempt left has to go through the hash again. */
  #rehash() {
    if (this.size !== null && this.sink.length > this.size) this.sink.clear();
    const piece = new Uint8Array(Math.min(PIECE, this.sink.length));
    for (let at = 0; at < this.sink.length; ) {
      const bytes = piece.subarray(0, Math.min(PIECE, this.sink.length - at));
      this.sink.read(at, bytes);
      this.#hash.update(bytes);
      at += bytes.length;
    }
    this.#count(this.sink.length);
  }

  /** @returns {Promise<FolioError | null>} null when the body came to its end; what may be tried again otherwise */
  async #attempt() {
    const stall = new AbortController();
    const signal = AbortSignal.any([this.signal, stall.signal]);
    let timer = setTimeout(() => stall.abort(), STALL_MS);
    try {
      const response = await this.#ask(signal);
      if (response.status === 429 || response.status >= 500) return this.#problem(`the server says ${response.status}`);
      this.gone = response.status === 404 || response.status === 410;
      if (!response.ok || !response.body) throw this.#problem(`the server says ${response.status}`);
      if (response.status !== 206) this.#restart();
      await this.#learn(response);
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        clearTimeout(timer);
        timer = setTimeout(() => stall.abort(), STALL_MS);
        this.#take(value);
      }
      if (this.size !== null && this.received < this.size) return this.#problem("the connection was cut");
      return null;
    } catch (error) {
      this.signal.throwIfAborted();
      if (error instanceof FolioError) throw error;
      return this.#problem(stall.signal.aborted ? `nothing came for ${STALL_MS / 1000} s` : "the connection was cut or refused", error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {AbortSignal} signal @returns {Promise<Response>} */
  async #ask(signal) {
    /** @type {{[name: string]: string}} */ const headers = {};
    if (this.received > 0) {
      headers.Range = `bytes=${this.received}-`;
      // Another origin would first be asked whether the header is allowed; there the hash has to do.
      const own = new URL(this.url).origin === location.origin;
      if (this.validator && (own || this.sha256 === null)) headers["If-Range"] = this.validator;
    }
    // Kept in OPFS: a second copy in the HTTP cache would only cost disk.
    const response = await fetch(this.url, { headers, signal, cache: "no-store" });
    const from = /^bytes (\d+)-/.exec(response.headers.get("Content-Range") ?? "")?.[1];
    const wrongPlace = response.status === 206 && from !== undefined && Number(from) !== this.received;
    if (response.status !== 416 && !wrongPlace) return response;
    await response.body?.cancel();
    this.#restart();
    return fetch(this.url, { signal, cache: "no-store" });
  }

  /** Notes what the server says of its file, so that a later attempt can tell whether it is the same one. @param {Response} response */
  async #learn(response) {
    const told = toldLength(response, this.name);
    if (told !== null) {
      const length = told + (response.status === 206 ? this.received : 0);
      this.size ??= length;
      if (this.size !== length) throw this.#corrupt(`it has ${length} bytes and should have ${this.size}`);
    }
    const etag = response.headers.get("ETag");
    const validator = etag && !etag.startsWith("W/") ? etag : response.headers.get("Last-Modified");
    if (this.#handed > 0 && this.received === 0 && validator !== this.validator)
      throw this.#corrupt("it has changed on the server while it was being loaded");
    this.validator = validator;
    await this.sink.note(this.#record(false));
  }

  /** @param {Uint8Array} bytes */
  #take(bytes) {
    if (this.size !== null && this.received + bytes.length > this.size)
      throw this.#corrupt(`the server sends more than its ${this.size} bytes`);
    this.sink.append(bytes);
    this.#hash.update(bytes);
    this.#count(this.received + bytes.length);
  }

  #restart() {
    this.sink.clear();
    this.#hash = new Sha256();
    this.#count(0);
  }

  /** @param {number} received */
  #count(received) {
    this.received = received;
    this.onBytes(received);
    this.#waiting = this.#waiting.filter(({ end, resolve }) => {
      if (end <= received) {
        this.#handed = Math.max(this.#handed, end);
        resolve();
      }
      return end > received;
    });
  }

  async #check() {
    const found = this.#hash.hex();
    if (this.sha256 !== null && found !== this.sha256.toLowerCase())
      throw this.#corrupt(`its SHA-256 is ${found.slice(0, 12)}… and should be ${this.sha256.slice(0, 12)}…`);
    this.size = this.received;
    await this.sink.note(this.#record(true));
  }

  /** @param {boolean} whole @returns {Record} */
  #record(whole) {
    return { size: this.size, sha256: this.sha256, validator: this.validator, whole };
  }

  /** @param {string} why */
  #corrupt(why) {
    return new FolioError("corrupt", `${this.name} from ${this.url} is not the file that was expected: ${why}. It has been deleted; load again to fetch it anew`);
  }

  /** @param {string} why @param {unknown} [cause] */
  #problem(why, cause) {
    const kept = this.received > 0 && !this.gone ? `; ${this.received} bytes are kept, and loading again goes on from there` : "; check the address and the connection, then load again";
    return new FolioError("network", `${this.url} could not be fetched: ${why}${kept}`, { cause });
  }
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
