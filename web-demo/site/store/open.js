// @ts-check
// A model's files as the engine wants them: texts as strings, weights that can be read while they still arrive.

import { FolioError } from "../errors.js";
import { deleteFolder, keepOnly, openFolder, recordName } from "./cache.js";
import { Download } from "./download.js";
import { MemorySink, OpfsSink, readBlob, readRecord } from "./sinks.js";
import { findSources } from "./sources.js";

/**
 * @typedef {import("../protocol.js").Request} Request
 * @typedef {import("../folio.js").Progress} Progress
 * @typedef {import("./sources.js").Source} Source
 * @typedef {import("./sources.js").Sources} Sources
 */

/** A file that is being fetched, or that is there. Once whole it is a Blob, which locks out no other tab. */
class ModelFile {
  /** @type {Blob | null} */ blob = null;
  /** @type {Download | null} */ download = null;
  /** Settles when the download is a Blob, or has failed. @type {Promise<void> | null} */ fetched = null;

  /** @param {Source} source */
  constructor(source) {
    this.name = source.name;
    this.size = source.size ?? 0;
  }

  /** @param {number} offset @param {Uint8Array} into */
  read(offset, into) {
    if (this.blob) readBlob(this.blob, offset, into);
    else if (this.download) this.download.sink.read(offset, into);
    else throw new FolioError("engine", `${this.name} was read before it arrived`);
  }

  /** @param {number} end @returns {Promise<void>} */
  async arrived(end) {
    const { download } = this;
    if (this.blob || !download) return;
    await download.arrived(end);
    // After the last byte the file is closed and becomes a Blob; in between it cannot be read.
    if (download.complete) await this.fetched;
  }
}

/** One load's files: knows what has been fetched of them. */
class Opening {
  abort = new AbortController();
  /** @type {Error | null} */ failed = null;
  /** A file was wrong, or is not on the server: what was known of the model may not hold any more. */
  changed = false;
  /** @type {Map<string, {done: number, total: number | null}>} */ #bytes = new Map();
  #toldAt = 0;
  /** @type {FileSystemDirectoryHandle | null} */ folder = null;
  /** @type {import("./sinks.js").Sink[]} */ sinks = [];

  /** @param {(progress: Progress) => void} onProgress */
  constructor(onProgress) {
    this.onProgress = onProgress;
  }

  /** A cached copy, or a Download that waits for `run`. @param {Source} source @returns {Promise<ModelFile>} */
  async prepare(source) {
    const file = new ModelFile(source);
    if (source.file) {
      file.blob = source.file;
      return file;
    }
    const record = this.folder && (await readRecord(this.folder, source.name));
    file.blob = this.folder && record?.whole ? await this.#cached(this.folder, source, record) : null;
    if (file.blob) {
      file.size = file.blob.size;
      return file;
    }
    const sink = (this.folder && (await OpfsSink.open(this.folder, source.name))) ?? new MemorySink();
    this.sinks.push(sink);
    this.#bytes.set(source.name, { done: 0, total: source.size });
    file.download = new Download({
      url: /** @type {string} */ (source.url),
      name: source.name,
      size: source.size,
      sha256: source.sha256,
      sink,
      record,
      signal: this.abort.signal,
      onBytes: (done) => this.#count(source.name, done),
    });
    return file;
  }

  /** @param {FileSystemDirectoryHandle} folder @param {Source} source @param {import("./sinks.js").Record} record */
  async #cached(folder, source, record) {
    if (source.sha256 !== null && source.sha256 !== record.sha256) return null; // the manifest has a newer one
    const blob = await folder.getFileHandle(source.name).then((handle) => handle.getFile(), () => null);
    return blob && blob.size === record.size ? blob : null;
  }

  /** @param {ModelFile} file @returns {Promise<void>} */
  fetch(file) {
    return (file.fetched = this.#fetch(file));
  }

  /** @param {ModelFile} file */
  async #fetch(file) {
    const { download } = file;
    if (!download) return;
    try {
      await download.run();
      file.size = download.received;
      file.blob = await download.sink.finish();
      this.#bytes.set(file.name, { done: file.size, total: file.size }); // whether or not the server told
    } catch (error) {
      this.failed ??= /** @type {Error} */ (error);
      const corrupt = error instanceof FolioError && error.code === "corrupt";
      if (corrupt) download.sink.clear();
      if (corrupt || download.gone) this.changed = true;
      throw error;
    }
  }

  close() {
    this.abort.abort();
    for (const sink of this.sinks) sink.close();
  }

  /** @param {string} name @param {number} done */
  #count(name, done) {
    const entry = this.#bytes.get(name);
    if (entry) entry.done = done;
    const now = performance.now();
    const entries = [...this.#bytes.values()];
    const total = entries.reduce((/** @type {number | null} */ sum, { total }) => (sum === null || total === null ? null : sum + total), 0);
    const all = entries.reduce((sum, { done }) => sum + done, 0);
    if (now - this.#toldAt < 80 && all !== total) return;
    this.#toldAt = now;
    this.onProgress({ what: "downloading", done: all, total });
  }
}

/**
 * @param {Request} request
 * @param {(progress: Progress) => void} onProgress
 */
export async function openModel(request, onProgress) {
  const opening = new Opening(onProgress);
  const key = request.kind === "url" ? request.url : request.kind === "manifest" ? request.base : null;
  // A manifest's files have hashes of their own; those at an address are one version, and are remembered as one.
  const outdated = () => request.kind === "url" && opening.changed;
  const discard = async () => {
    if (key === null) return;
    await opening.folder?.removeEntry(recordName("sources")).catch(() => {}); // even if another tab keeps the rest
    await deleteFolder(key);
  };
  const unlock = key === null ? () => {} : await lock(`folio-models ${key}`, onProgress);
  try {
    opening.folder = key === null ? null : await openFolder(key);
    const sources = await sourcesOf(request, opening);
    if (opening.folder) await keepOnly(opening.folder, ["sources", ...[...sources.texts, ...sources.weights].map(({ name }) => name)]);
    const textFiles = await Promise.all(sources.texts.map((source) => opening.prepare(source)));
    const weights = await Promise.all(sources.weights.map((source) => opening.prepare(source)));
    const texts = await readTexts(textFiles, opening);
    const downloads = fetchAll(weights, opening).finally(unlock);
    downloads.catch(() => {}); // the worker looks at it a moment later
    // The engine wants sizes from the start; a server that tells none has to deliver first.
    await Promise.all(weights.map((file, i) => (file.download && sources.weights[i].size === null ? downloads : null)));
    return {
      name: sources.name,
      texts,
      weights,
      downloads,
      /** Why fetching failed, if it did. */
      failure: () => opening.failed,
      /** Whether an address has another model than the one that is remembered. */
      outdated,
      forget: async () => {
        opening.abort.abort();
        await downloads.catch(() => {});
        opening.close();
        await discard();
      },
      close: () => {
        opening.abort.abort();
        downloads.catch(() => {}).then(() => opening.close());
      },
    };
  } catch (error) {
    opening.close();
    if (outdated()) await discard();
    unlock();
    throw error;
  }
}

/** One after another: the engine reads them in order, and a cut connection then leaves one unfinished file, not all. @param {ModelFile[]} files @param {Opening} opening */
async function fetchAll(files, opening) {
  try {
    for (const file of files) await opening.fetch(file);
  } catch (error) {
    for (const file of files) file.download?.fail(/** @type {Error} */ (error));
    throw error;
  }
}

/** @param {ModelFile[]} files @param {Opening} opening @returns {Promise<Record<string, string>>} */
async function readTexts(files, opening) {
  /** @type {Record<string, string>} */ const texts = {};
  for (const file of files) {
    await opening.fetch(file);
    texts[file.name] = await /** @type {Blob} */ (file.blob).text();
  }
  return texts;
}

/** Finds a URL's files, or remembers them: the second load asks the network nothing. @param {Request} request @param {Opening} opening @returns {Promise<Sources>} */
async function sourcesOf(request, { folder, abort }) {
  if (request.kind !== "url" || !folder) return findSources(request, abort.signal);
  const kept = await readRecord(folder, "sources");
  if (kept) return /** @type {any} */ (kept);
  const sources = await findSources(request, abort.signal);
  const sink = await OpfsSink.open(folder, "sources");
  await sink?.note(/** @type {any} */ (sources));
  sink?.close();
  return sources;
}

/** Two tabs that load the same model: the second waits, then finds it in the cache. @param {string} name @param {(progress: Progress) => void} onProgress @returns {Promise<() => void>} */
async function lock(name, onProgress) {
  if (!navigator.locks) return () => {};
  return new Promise((resolve, reject) => {
    const hold = () => new Promise((/** @type {(value: void) => void} */ release) => resolve(release));
    navigator.locks
      .request(name, { ifAvailable: true }, (free) => {
        if (free) return hold();
        onProgress({ what: "waiting for another tab" });
        navigator.locks.request(name, hold).catch(reject);
      })
      .catch(reject);
  });
}
