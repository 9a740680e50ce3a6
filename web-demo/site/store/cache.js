// @ts-check
// Where downloaded models lie: folders in the origin private file system (OPFS). Runs on the page and in the worker.

import { FolioError } from "../errors.js";
import { sha256 } from "./sha256.js";

const ROOT = "folio-models";

/** @returns {Promise<FileSystemDirectoryHandle | null>} null where the browser keeps nothing (private windows) */
async function storage() {
  try {
    return await navigator.storage.getDirectory();
  } catch {
    return null;
  }
}

/** A model's folder, by what it was loaded from. @param {string} key @returns {string} */
export function folderName(key) {
  const readable = key.replace(/\/$/, "").split("/").at(-1)?.replace(/[^\w.-]/g, "_") ?? "";
  return `${readable.slice(0, 40)}-${sha256(new TextEncoder().encode(key)).slice(0, 16)}`;
}

/** @param {string} key @returns {Promise<FileSystemDirectoryHandle | null>} */
export async function openFolder(key) {
  const top = await storage();
  if (!top) return null;
  try {
    const root = await top.getDirectoryHandle(ROOT, { create: true });
    return await root.getDirectoryHandle(folderName(key), { create: true });
  } catch {
    return null;
  }
}

/** Deletes a model that proved wrong. @param {string} key */
export async function deleteFolder(key) {
  const root = await (await storage())?.getDirectoryHandle(ROOT).catch(() => null);
  await root?.removeEntry(folderName(key), { recursive: true }).catch(() => {}); // in use by another tab: it stays
}

/** @returns {Promise<number>} */
export async function cachedBytes() {
  const root = await (await storage())?.getDirectoryHandle(ROOT).catch(() => null);
  return root ? bytesIn(root) : 0;
}

/** @param {FileSystemDirectoryHandle} folder @returns {Promise<number>} */
async function bytesIn(folder) {
  let bytes = 0;
  for await (const entry of folder.values()) {
    if (entry.kind === "directory") bytes += await bytesIn(entry);
    else bytes += await entry.getFile().then((file) => file.size, () => 0);
  }
  return bytes;
}

export async function deleteCache() {
  const top = await storage();
  try {
    await top?.removeEntry(ROOT, { recursive: true });
  } catch (cause) {
    if (/** @type {DOMException} */ (cause).name === "NotFoundError") return;
    throw new FolioError("storage", "the downloaded models cannot be deleted while one is being downloaded; close Folio's other tabs, or wait", { cause });
  }
}

/** Deletes what no model of ours has any more, such as the files of an older version. @param {FileSystemDirectoryHandle} folder @param {string[]} names */
export async function keepOnly(folder, names) {
  const known = new Set(names.flatMap((name) => [name, recordName(name)]));
  for await (const name of folder.keys()) if (!known.has(name)) await folder.removeEntry(name).catch(() => {});
}

/** Beside every file lies a record of where it came from and whether it is whole. @param {string} name */
export const recordName = (name) => `${name}.record`;
