// @ts-check
// Where a download is written, and read from while it still grows: a file in OPFS, or pieces in memory.

import { FolioError } from "../errors.js";
import { recordName } from "./cache.js";

/**
 * @typedef {object} Record what is known of a file, kept beside it
 * @property {number | null} size
 * @property {string | null} sha256
 * @property {string | null} validator ETag or Last-Modified of the server's copy
 * @property {boolean} whole all of it is there, and the hash was right
 */

/**
 * @typedef {object} Sink
 * @property {number} length bytes written
 * @property {(bytes: Uint8Array) => void} append
 * @property {(offset: number, into: Uint8Array) => void} read
 * @property {() => void} clear
 * @property {(record: Record) => Promise<void>} note
 * @property {() => Promise<Blob>} finish closes it; the Blob is the file
 * @property {() => void} close
 */

/** No request to read or write more than this at once. */
export const PIECE = 4 << 20;

/** @param {FileSystemDirectoryHandle} folder @param {string} name @returns {Promise<Record | null>} */
export async function readRecord(folder, name) {
  try {
    const handle = await folder.getFileHandle(recordName(name));
    return JSON.parse(await (await handle.getFile()).text());
  } catch {
    return null;
  }
}

/** @implements {Sink} */
export class OpfsSink {
  /** @type {FileSystemDirectoryHandle} */ #folder;
  /** @type {FileSystemFileHandle} */ #file;
  /** @type {FileSystemSyncAccessHandle} */ #access;
  #closed = false;
  length = 0;

  /** @param {FileSystemDirectoryHandle} folder @param {FileSystemFileHandle} file @param {FileSystemSyncAccessHandle} access */
  constructor(folder, file, access) {
    this.#folder = folder;
    this.#file = file;
    this.#access = access;
    this.length = access.getSize();
  }

  /**
   * @param {FileSystemDirectoryHandle} folder
   * @param {string} name
   * @returns {Promise<OpfsSink | null>} null where the browser has no such handles, or where another tab holds this one
   */
  static async open(folder, name) {
    try {
      const file = await folder.getFileHandle(name, { create: true });
      return new OpfsSink(folder, file, await file.createSyncAccessHandle());
    } catch {
      return null;
    }
  }

  /** @param {Uint8Array} bytes */
  append(bytes) {
    let written = 0;
    try {
      written = this.#access.write(bytes, { at: this.length });
    } catch (cause) {
      throw this.#full(cause);
    }
    if (written !== bytes.length) throw this.#full(null);
    this.length += written;
  }

  /** @param {unknown} cause */
  #full(cause) {
    const message = `the browser's storage took ${this.length} bytes of ${this.#file.name} and no more; free some disk space, or delete the downloaded models`;
    return new FolioError("storage", message, { cause });
  }

  /** @param {number} offset @param {Uint8Array} into */
  read(offset, into) {
    const read = this.#access.read(into, { at: offset });
    if (read !== into.length) throw new FolioError("storage", `${this.#file.name} ended at byte ${offset + read} while it was read; load the model again`);
  }

  clear() {
    this.#access.truncate(0);
    this.length = 0;
  }

  /** @param {Record} record */
  async note(record) {
    // The file first: a record must not promise more than the disk has.
    this.#access.flush();
    const handle = await this.#folder.getFileHandle(recordName(this.#file.name), { create: true });
    const access = await handle.createSyncAccessHandle();
    try {
      access.truncate(0);
      access.write(new TextEncoder().encode(JSON.stringify(record)), { at: 0 });
      access.flush();
    } finally {
      access.close();
    }
  }

  async finish() {
    this.close();
    return this.#file.getFile();
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#access.flush();
    this.#access.close();
  }
}

/** Nothing is kept, and the pieces are Blobs: the browser may put them on disk, and they are never one buffer. @implements {Sink} */
export class MemorySink {
  /** @type {Blob[]} */ #pieces = [];
  /** @type {Uint8Array[]} */ #fresh = [];
  #freshLength = 0;
  length = 0;

  /** @param {Uint8Array} bytes */
  append(bytes) {
    this.#fresh.push(bytes);
    this.#freshLength += bytes.length;
    this.length += bytes.length;
    if (this.#freshLength >= PIECE) this.#gather();
  }

  #gather() {
    if (this.#fresh.length > 0) this.#pieces.push(new Blob(/** @type {any} */ (this.#fresh)));
    this.#fresh = [];
    this.#freshLength = 0;
  }

  /** @param {number} offset @param {Uint8Array} into */
  read(offset, into) {
    this.#gather();
    readBlob(new Blob(this.#pieces), offset, into); // a Blob of Blobs refers to them
  }

  clear() {
    this.#pieces = [];
    this.#fresh = [];
    this.#freshLength = this.length = 0;
  }

  async note() {}

  async finish() {
    this.#gather();
    return new Blob(this.#pieces);
  }

  close() {}
}

/** @param {Blob} blob @param {number} offset @param {Uint8Array} into */
export function readBlob(blob, offset, into) {
  for (let at = 0; at < into.length; ) {
    const end = Math.min(at + PIECE, into.length);
    /** @type {ArrayBuffer} */ let bytes;
    try {
      bytes = new FileReaderSync().readAsArrayBuffer(blob.slice(offset + at, offset + end));
    } catch (cause) {
      throw new FolioError("storage", `byte ${offset + at} of the model cannot be read: its file has changed or is gone; load the model again`, { cause });
    }
    if (bytes.byteLength !== end - at) throw new FolioError("corrupt", `the file ends at byte ${offset + at + bytes.byteLength}, before all of its values`);
    into.set(new Uint8Array(bytes), at);
    at = end;
  }
}
