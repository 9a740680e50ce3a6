// @ts-check
// Which files a model has, and what is known of them before they are fetched.

import { FolioError } from "../errors.js";

/** @typedef {import("../protocol.js").Request} Request */

/**
 * @typedef {object} Source
 * @property {string} name
 * @property {number | null} size
 * @property {string | null} sha256
 * @property {string | null} url
 * @property {File | null} file
 */

/** What the engine reads besides weights. Other files of a folder (model cards, pictures) stay where they are. */
const TEXTS = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"];
const REQUIRED = new Set(TEXTS.slice(0, 2));
const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** @param {string} name */
const isWeights = (name) => name.endsWith(".safetensors");

/**
 * How long a file is, where the server can be believed. Content-Length counts what is sent: of a compressed answer that is
 * not the file, and another origin does not let us see that it is compressed. Weights are not worth compressing.
 * @param {Response} response
 * @param {string} name
 * @returns {number | null}
 */
export function toldLength(response, name) {
  const length = response.headers.get("Content-Length");
  if (length === null || response.headers.has("Content-Encoding")) return null;
  return response.type === "basic" || isWeights(name) ? Number(length) : null;
}

/** Whether a file of a model is fetched at all. @param {string} name */
export const isNeeded = (name) => isWeights(name) || TEXTS.includes(name);

/**
 * @typedef {object} Sources
 * @property {string} name the model's, for people
 * @property {Source[]} texts
 * @property {Source[]} weights
 */

/** @param {Request} request @param {AbortSignal} signal @returns {Promise<Sources>} */
export async function findSources(request, signal) {
  if (request.kind === "url") return fromUrl(request.url, signal);
  const { name, all } = request.kind === "files" ? picked(request.files) : listed(request);
  const texts = all.filter((source) => TEXTS.includes(source.name));
  const weights = all.filter((source) => isWeights(source.name));
  const missing = [...REQUIRED].filter((name) => !texts.some((source) => source.name === name));
  if (weights.length === 0) missing.push(WEIGHTS);
  if (missing.length > 0) {
    const where = request.kind === "files" ? `the ${request.files.length} files of ${name}` : name;
    throw new FolioError("bad_argument", `${where}: ${missing.join(" and ")} not found; a model is a folder with config.json, tokenizer.json and safetensors`);
  }
  return { name, texts, weights };
}

/** @param {Request & {kind: "manifest"}} request */
function listed({ model, base }) {
  const all = model.files.map(({ name, bytes, sha256 }) => ({ name, size: bytes, sha256, url: new URL(name, base).href, file: null }));
  return { name: model.name, all };
}

/** @param {File[]} files */
function picked(files) {
  // A picked folder gives its subfolders' files too (such as .git, or a checkpoint inside): only its own level counts.
  const depth = (/** @type {File} */ file) => file.webkitRelativePath.split("/").length;
  const config = files.filter((file) => file.name === "config.json").sort((a, b) => depth(a) - depth(b))[0];
  const folder = config ? config.webkitRelativePath.slice(0, -"config.json".length) : "";
  const all = files
    .filter((file) => file.webkitRelativePath === folder + file.name || file.webkitRelativePath === "")
    .map((file) => ({ name: file.name, size: file.size, sha256: null, url: null, file }));
  // As the native program does: beside the whole model, shards are another copy of it.
  const whole = all.some(({ name }) => name === WEIGHTS);
  return { name: folder.split("/").at(-2) || "picked files", all: all.filter(({ name }) => !whole || !isWeights(name) || name === WEIGHTS) };
}

/** @param {string} base @param {AbortSignal} signal @returns {Promise<Sources>} */
async function fromUrl(base, signal) {
  const name = decoded(base.split("/").at(-2) ?? base);
  const [single, ...found] = await Promise.all([WEIGHTS, ...TEXTS].map((file) => look(base, file, signal)));
  const texts = found.filter((source) => source !== null);
  for (const file of REQUIRED)
    if (!texts.some((source) => source.name === file)) throw new FolioError("network", `${base}${file} is not there: the address must be that of a folder with config.json, tokenizer.json and safetensors`);
  if (single) return { name, texts, weights: [single] };
  const shards = await shardNames(base, signal);
  const weights = await Promise.all(shards.map((file) => look(base, file, signal)));
  const lost = shards.filter((_, i) => weights[i] === null);
  if (lost.length > 0) throw new FolioError("network", `${INDEX} names ${lost[0]}, which is not at ${base}`);
  return { name, texts, weights: weights.filter((source) => source !== null) };
}

/** @param {string} name */
function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // a stray %
  }
}

/** @param {string} base @param {AbortSignal} signal @returns {Promise<string[]>} */
async function shardNames(base, signal) {
  const response = await fetch(base + INDEX, { signal }).catch(() => null);
  if (!response?.ok) throw new FolioError("network", `neither ${WEIGHTS} nor ${INDEX} is at ${base}`);
  const map = await response.json().then((index) => index.weight_map, () => null);
  if (typeof map !== "object" || map === null) throw new FolioError("corrupt", `${base}${INDEX} has no weight_map`);
  return [...new Set(/** @type {string[]} */ (Object.values(map)))].sort();
}

/** Whether a file is there, and its size where the server tells. @param {string} base @param {string} name @param {AbortSignal} signal @returns {Promise<Source | null>} */
async function look(base, name, signal) {
  const url = new URL(name, base).href;
  const response = await fetch(url, { method: "HEAD", signal }).catch((cause) => {
    signal.throwIfAborted();
    throw new FolioError("network", `${url} could not be reached: check the address and the connection (another site has to allow it, by CORS headers)`, { cause });
  });
  const type = response.headers.get("Content-Type") ?? "";
  if (type.startsWith("text/html")) return null; // a host that answers everything with its front page
  if (response.status === 404 || response.status === 403 || response.status === 410) return null; // S3 says 403 for what is not there
  return { name, size: response.ok ? toldLength(response, name) : null, sha256: null, url, file: null };
}
