// Every error path that can be provoked, by its code and its words.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { DIST, open, withFolio } from "./harness.mjs";

const MODEL = "/models/folio-nano/model.safetensors";
const nothing = async () => ({ loaded: true });
let site;

before(async () => {
  site = await open({ path: "index.html?software" });
});
after(() => site?.close());

async function fails(code, words, options, page = site.page, body = nothing) {
  const found = await withFolio(page, body, null, options);
  assert.equal(found.code, code, JSON.stringify(found));
  assert.match(found.message, words);
}

test("no WebGPU", async () => {
  const other = await open({ path: "index.html?software", webgpu: false });
  try {
    await fails("no_webgpu", /WebGPU/, {}, other.page);
  } finally {
    await other.close();
  }
});

test("a GPU in software is taken only when it is asked for", () => fails("no_webgpu", /CPU/, { software: false }));

test("an adapter below the floor", async () => {
  // A worker has its own navigator: the script is served with a preface that lowers what the adapter says.
  const dist = mkdtempSync(join(tmpdir(), "folio-floor-"));
  cpSync(DIST, dist, { recursive: true });
  const preface = `
    const limits = Object.getOwnPropertyDescriptor(GPUSupportedLimits.prototype, "maxStorageBuffersPerShaderStage");
    Object.defineProperty(GPUSupportedLimits.prototype, "maxStorageBuffersPerShaderStage", { ...limits, get: () => 4 });
  `;
  writeFileSync(join(dist, "floor.js"), preface);
  const worker = join(dist, "worker.js");
  writeFileSync(worker, `import "./floor.js";\n${readFileSync(worker, "utf8")}`);
  const other = await open({ path: "index.html?software", dist });
  try {
    await fails("below_floor", /4 storage buffers per shader stage, 8 are needed/, {}, other.page);
  } finally {
    await other.close();
    rmSync(dist, { recursive: true });
  }
});

test("a model that the device cannot hold is refused with the numbers", () =>
  fails("too_large", /needs \d+ MiB on the GPU .* 8 MiB are there/, { memoryBytes: 8 << 20 }));

test("a file that is not there, and a folder that is none", async () => {
  site.server.faults.set("/models/folio-nano/tokenizer.json", { status: 404 });
  await site.page.evaluate(async () => (await import("/folio.js")).Folio.deleteCache());
  await fails("network", /tokenizer\.json/, {});
  site.server.faults.clear();
  await fails("network", /config\.json/, { model: undefined, url: `${site.server.url}nowhere/` });
});

test("a download that breaks off goes on where it broke, at once or at the next load", async () => {
  const from = () => site.server.requests.filter(({ path }) => path === MODEL).map(({ range }) => Number(/^bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0));
  await site.page.evaluate(async () => (await import("/folio.js")).Folio.deleteCache());
  site.server.requests.length = 0;
  site.server.faults.set(MODEL, { cutAfter: 5_000_000 });
  assert.equal((await withFolio(site.page, nothing, null)).loaded, true);
  const asked = from();
  assert.equal(asked[0], 0);
  // Of a connection that breaks, the browser may hand on nothing (seen on a machine with much else to do): then the same place is asked for once more.
  const places = asked.filter((at, i) => at !== asked[i - 1]);
  assert.ok(places.length >= 3 && places.every((at, i) => i === 0 || at > places[i - 1]), `asked from ${asked}`);

  // Nothing more comes: an error; what came is kept.
  await site.page.evaluate(async () => (await import("/folio.js")).Folio.deleteCache());
  site.server.faults.set(MODEL, { cutAfter: 5_000_000, then: 503 });
  await fails("network", /model\.safetensors/, {});
  site.server.faults.clear();
  site.server.requests.length = 0;
  assert.equal((await withFolio(site.page, nothing, null)).loaded, true);
  assert.equal(from().length, 1);
  assert.ok(from()[0] > 1_000_000 && from()[0] <= 5_000_000, `asked from ${from()}`);
});

test("what is cached is not fetched again", async () => {
  site.server.requests.length = 0;
  assert.equal((await withFolio(site.page, nothing, null)).loaded, true);
  assert.deepEqual(site.server.requests.filter(({ path }) => path === MODEL), []);
});

test("a byte that changed on its way: corrupt, deleted, and fetched anew", async () => {
  await site.page.evaluate(async () => (await import("/folio.js")).Folio.deleteCache());
  site.server.faults.set(MODEL, { flip: 6_000_000 });
  await fails("corrupt", /model\.safetensors/, {});
  site.server.faults.clear();
  assert.equal((await withFolio(site.page, nothing, null)).loaded, true);
});

test("a session file that is none, and one of another model", async () => {
  const restore = (text) =>
    withFolio(
      site.page,
      async (folio, text) => {
        for await (const event of folio.restore(new Blob([text]), { maxNewTokens: 1 })) if (event.type === "token") return { token: event.id };
        return {};
      },
      text,
    );
  for (const [text, words] of [
    ["no json", /not a session file/],
    ['{"format":"folio-session","version":99}', /newer folio/],
  ]) {
    const found = await restore(text);
    assert.equal(found.code, "bad_session", JSON.stringify(found));
    assert.match(found.message, words);
  }
  const saved = await withFolio(site.page, async (folio) => {
    for await (const _ of folio.generate("A", { maxNewTokens: 2, temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 }));
    return { text: await (await folio.save()).text() };
  });
  const other = JSON.stringify({ ...JSON.parse(saved.text), model: "0".repeat(64) });
  const found = await restore(other);
  assert.equal(found.code, "bad_session", JSON.stringify(found));
  assert.match(found.message, /another model/);
});

test("settings out of range", async () => {
  const found = await withFolio(site.page, async (folio) => {
    for await (const _ of folio.generate("A", { maxNewTokens: 2, temperature: -1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 }));
    return {};
  });
  assert.equal(found.code, "bad_argument", JSON.stringify(found));
  assert.match(found.message, /temperature/);
});
