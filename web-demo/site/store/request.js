// @ts-check
// What to load, from what the caller says: a manifest's model, a folder on the web, or files of the user.

import { FolioError } from "../errors.js";

/**
 * @typedef {import("../folio.js").Manifest} Manifest
 * @typedef {import("../folio.js").LoadOptions} LoadOptions
 * @typedef {import("../protocol.js").Request} Request
 */

const MANIFEST = new URL("../manifest.json", import.meta.url);

/** @param {string | URL} [at] @returns {Promise<Manifest>} */
export async function fetchManifest(at = MANIFEST) {
  const response = await fetch(at, { cache: "no-cache" }).catch((cause) => {
    throw new FolioError("network", `${at} could not be fetched; check the connection and try again`, { cause });
  });
  if (!response.ok) throw new FolioError("network", `${at} could not be fetched: the server says ${response.status}`);
  const manifest = await response.json().catch(() => null);
  if (!Array.isArray(manifest?.models)) throw new FolioError("corrupt", `${at} is not a list of models`);
  return manifest;
}

/** @param {LoadOptions} options @returns {Promise<Request>} */
export async function toRequest({ model, manifest = MANIFEST, url, files }) {
  if (Number(model !== undefined) + Number(url !== undefined) + Number(files !== undefined) !== 1)
    throw new FolioError("bad_argument", "give one of `model`, `url` and `files`");
  if (files !== undefined) return { kind: "files", files: [...files] };
  if (url !== undefined) {
    const base = new URL(url, document.baseURI);
    base.search = base.hash = "";
    if (!base.pathname.endsWith("/")) base.pathname += "/"; // "…/my-model" means the folder
    return { kind: "url", url: base.href };
  }
  const given = typeof manifest === "string" || manifest instanceof URL ? null : manifest;
  const at = given ? MANIFEST : new URL(/** @type {string | URL} */ (manifest), document.baseURI);
  const list = given ?? (await fetchManifest(at));
  const found = list.models.find(({ id }) => id === model);
  if (!found) throw new FolioError("bad_argument", `no model "${model}" in ${given ? "the manifest" : at}; it has ${list.models.map(({ id }) => id).join(", ")}`);
  return { kind: "manifest", model: found, base: new URL(found.path.replace(/\/?$/, "/"), at).href };
}
