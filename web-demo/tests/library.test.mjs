// The library in a real browser: the same tokens and pages as the native program, losses survived, nothing leaked.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DIST, PROSE, native, open, withFolio } from "./harness.mjs";

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0, ignoreEos: true };
let site;

before(async () => {
  site = await open({ path: "index.html?software" });
});
after(() => site?.close());

/** In the page: writes `tokens` after `prompt`; gives ids, pages and the session file. */
async function write(folio, { prompt, settings, loseAt = null }) {
  const ids = [];
  const pages = [];
  let stats = null;
  for await (const event of folio.generate(prompt, settings)) {
    if (event.type === "token") {
      ids.push(event.id);
      if (ids.length === loseAt) await folio.loseDevice();
    }
    if (event.type === "page") pages.push([...event.png]);
    if (event.type === "stats") stats = event.stats;
  }
  const session = JSON.parse(await (await folio.save()).text());
  return { ids, pages, stats, session, counts: await folio.counts() };
}

test("the same 200 tokens, pages and session file as the native program, folds included", async () => {
  const right = native(PROSE, 200);
  const found = await withFolio(site.page, write, { prompt: PROSE, settings: { ...GREEDY, maxNewTokens: 200 } });
  assert.equal(found.message, undefined, found.message);
  assert.ok(right.pages.length >= 2, "the text folds");
  assert.deepEqual(found.session.tokens, right.session.tokens);
  assert.equal(found.ids.length, 200);
  assert.equal(found.pages.length, right.pages.length);
  found.pages.forEach((page, i) => assert.ok(Buffer.from(page).equals(right.pages[i]), `page ${i} has other bytes`));
  assert.deepEqual(found.session, right.session);
  assert.equal(found.stats.folds, right.pages.length);
});

test("a lost device is replaced in mid-text, and the text is the same", async () => {
  const settings = { ...GREEDY, maxNewTokens: 60 };
  const prompt = PROSE.slice(0, 300);
  const whole = await withFolio(site.page, write, { prompt, settings });
  const broken = await withFolio(site.page, write, { prompt, settings, loseAt: 20 });
  assert.equal(broken.message, undefined, broken.message);
  assert.deepEqual(broken.ids, whole.ids);
  assert.ok(broken.counts.dispatches > whole.counts.dispatches, "the journal was replayed on another device");
});

test("a text saved while it is being written is restored and goes on as it went", async () => {
  const settings = { ...GREEDY, temperature: 0.9, seed: 3, maxNewTokens: 40 };
  const found = await withFolio(
    site.page,
    async (folio, settings) => {
      let [n, text] = [0, null];
      for await (const event of folio.generate("The ship", settings)) if (event.type === "token" && ++n === 17) text = await (await folio.save()).text();
      const whole = JSON.parse(await (await folio.save()).text()).tokens;
      const kept = JSON.parse(text).tokens.length;
      for await (const _ of folio.restore(new Blob([text]), { maxNewTokens: whole.length - kept }));
      return { whole, kept, again: JSON.parse(await (await folio.save()).text()).tokens };
    },
    settings,
  );
  assert.equal(found.message, undefined, found.message);
  assert.ok(found.kept > 17 && found.kept < found.whole.length, `${found.kept} of ${found.whole.length} tokens`);
  assert.deepEqual(found.again, found.whole);
});

test("without a seed, every text has its own", async () => {
  const { seed: _, ...settings } = { ...GREEDY, temperature: 1, maxNewTokens: 2 };
  const seeds = [];
  for (let i = 0; i < 2; i++) seeds.push((await withFolio(site.page, write, { prompt: "A", settings })).stats?.seed);
  assert.notEqual(seeds[0], seeds[1]);
});

test("breaking out of the loop stops the text; it can be saved, restored elsewhere, and goes on as if never stopped", async () => {
  const settings = { ...GREEDY, temperature: 0.9, topK: 40, seed: 7, maxNewTokens: 48 };
  const whole = await withFolio(site.page, write, { prompt: "The ship", settings });
  const saved = await withFolio(
    site.page,
    async (folio, settings) => {
      let n = 0;
      for await (const event of folio.generate("The ship", settings)) if (event.type === "token" && ++n === 17) break;
      return { text: await (await folio.save()).text() };
    },
    settings,
  );
  const kept = JSON.parse(saved.text).tokens.length;
  assert.ok(kept < whole.session.tokens.length, "it was stopped before its end");
  const total = whole.session.tokens.length;
  const rest = await withFolio(
    site.page,
    async (folio, { text, left }) => {
      let shown = "";
      for await (const event of folio.restore(new Blob([text]), { maxNewTokens: left })) if (event.type === "text") shown = event.text;
      return { shown, tokens: JSON.parse(await (await folio.save()).text()).tokens };
    },
    { text: saved.text, left: total - kept },
  );
  assert.equal(rest.message, undefined, rest.message);
  assert.ok(rest.shown.startsWith("The ship"), rest.shown);
  assert.deepEqual(rest.tokens, whole.session.tokens);
});

test("pages are read again as text when that is asked for, and a saved text still goes on", async () => {
  const settings = { ...GREEDY, unfold: 1, maxNewTokens: 24 };
  const prompt = "The mate counted the barrels, and counted them again. ".repeat(8);
  const told = await withFolio(
    site.page,
    async (folio, { prompt, settings }) => {
      const unfolded = [];
      let stats;
      for await (const event of folio.generate(prompt, settings)) {
        if (event.type === "unfolded") unfolded.push(event);
        if (event.type === "stats") stats = event.stats;
      }
      const tokens = async () => JSON.parse(await (await folio.save()).text());
      const whole = await tokens();
      for await (const _ of folio.generate(prompt, { ...settings, maxNewTokens: 9 }));
      const saved = await folio.save();
      for await (const _ of folio.restore(saved, { maxNewTokens: 15 }));
      return { unfolded, stats, whole, rest: await tokens() };
    },
    { prompt, settings },
  );
  assert.equal(told.message, undefined, told.message);
  assert.equal(told.unfolded.length, 1, "once, before the first token");
  const [{ pages, tokens, contextSlots }] = told.unfolded;
  assert.equal(pages.length, 1);
  assert.ok(tokens > 0 && contextSlots > tokens);
  assert.deepEqual([told.stats.unfold.pages, told.stats.unfold.pages_read, told.stats.unfold.tokens_read], [1, 1, tokens]);
  assert.ok(told.whole.ops.some(({ op, pages }) => op === "unfold" && pages.length === 1));
  assert.deepEqual(told.rest.tokens, told.whole.tokens);
  assert.deepEqual(told.rest.ops, told.whole.ops);
});

/** Bytes of the largest tensor of a safetensors file. */
function largestTensor(path) {
  const bytes = readFileSync(path);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString());
  const sizes = Object.values(header).flatMap(({ data_offsets: at }) => (at ? [at[1] - at[0]] : []));
  return Math.max(...sizes);
}

test("loading, writing and disposing ten times leaves buffers and memory where they were", async () => {
  const seen = [];
  for (let i = 0; i < 10; i++) {
    const run = await withFolio(site.page, write, { prompt: "It was", settings: { ...GREEDY, maxNewTokens: 8 } });
    assert.equal(run.message, undefined, run.message);
    seen.push(run.counts);
    for (let wait = 0; site.page.workers().length > 0 && wait < 50; wait++) await new Promise((done) => setTimeout(done, 100));
    assert.equal(site.page.workers().length, 0, "the worker is gone, and its memory with it");
  }
  const within = await withFolio(
    site.page,
    async (folio, settings) => {
      const counts = [];
      for (let i = 0; i < 10; i++) {
        for await (const _ of folio.generate("It was", settings));
        counts.push(await folio.counts());
      }
      return { counts };
    },
    { ...GREEDY, maxNewTokens: 8 },
  );
  assert.equal(within.message, undefined, within.message);
  seen.push(...within.counts);
  const { buffers, bufferBytes, wasmBytes, kvBytes } = seen[0];
  for (const counts of seen) {
    assert.deepEqual([counts.buffers, counts.bufferBytes, counts.kvBytes], [buffers, bufferBytes, kvBytes]);
    assert.ok(Math.abs(counts.wasmBytes - wasmBytes) <= 1 << 20, `WASM memory ${counts.wasmBytes}, at first ${wasmBytes}`);
  }
  const largest = largestTensor(join(DIST, "models/folio-nano/model.safetensors"));
  assert.ok(wasmBytes <= 3 * largest + (64 << 20), `${wasmBytes} bytes of WASM memory`);
  console.log(`WASM memory ${wasmBytes} bytes, ${buffers} buffers of ${bufferBytes} bytes; largest tensor ${largest} bytes`);
});

test("the page's console stayed clean", () => assert.deepEqual(site.errors, []));
