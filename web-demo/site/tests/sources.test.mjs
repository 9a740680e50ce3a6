// Which files a model has: of a picked folder, and of an address.
import assert from "node:assert/strict";
import test from "node:test";
import { findSources } from "../store/sources.js";

const file = (path) => ({ name: path.split("/").at(-1), webkitRelativePath: path.includes("/") ? path : "", size: 1 });
const names = (sources) => sources.map(({ name }) => name).sort();
const picked = (...paths) => findSources({ kind: "files", files: paths.map(file) }, new AbortController().signal);

test("beside model.safetensors other weights are not read; without it all of them are", async () => {
  const both = await picked("m/config.json", "m/tokenizer.json", "m/model.safetensors", "m/model-00001-of-00002.safetensors", "m/old/model.safetensors");
  assert.deepEqual(names(both.weights), ["model.safetensors"]);
  const shards = await picked("config.json", "tokenizer.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
  assert.equal(shards.weights.length, 2);
});

/** Loads from an address whose server answers so. */
async function at(address, { type = "basic", headers = {} } = {}) {
  const here = globalThis.fetch;
  globalThis.fetch = async (url) => {
    const there = /(config|tokenizer)\.json$|model\.safetensors$/.test(url);
    return Object.defineProperty(new Response(null, { status: there ? 200 : 404, headers: { "Content-Length": "7", ...headers } }), "type", { value: type });
  };
  try {
    return await findSources({ kind: "url", url: address }, new AbortController().signal);
  } finally {
    globalThis.fetch = here;
  }
}

test("another origin's word for a length counts only where nothing is compressed", async () => {
  const sizes = ({ texts, weights }) => [...texts, ...weights].map(({ name, size }) => [name, size]);
  const own = await at("https://example.org/m/");
  assert.ok(sizes(own).every(([, size]) => size === 7));
  const other = await at("https://example.org/m/", { type: "cors" });
  for (const [name, size] of sizes(other)) assert.equal(size, name === "model.safetensors" ? 7 : null, name);
  const coded = await at("https://example.org/m/", { headers: { "Content-Encoding": "gzip" } });
  assert.ok(sizes(coded).every(([, size]) => size === null));
});

test("an address may hold a stray %", async () => {
  assert.equal((await at("https://example.org/100%/")).name, "100%");
  assert.equal((await at("https://example.org/a%20b/")).name, "a b");
});
