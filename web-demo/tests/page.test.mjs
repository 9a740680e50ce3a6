// The page as a person uses it. Screenshots are kept in `shots`.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { PROSE, SHOTS, open } from "./harness.mjs";

/** Tokens that the long text has; `FOLIO_LONG=3000` for the figure of the report. */
const LONG = Number(process.env.FOLIO_LONG ?? 400);
const by = (id) => `[data-testid="${id}"]`;
let site;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  site = await open({ path: "index.html?software" });
});
after(() => site?.close());

const report = () => site.page.evaluate(() => structuredClone(window.folioReport));
async function shot(name) {
  // Another size or theme decodes the images anew.
  await site.page.evaluate(async () => {
    await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
    await new Promise((done) => setTimeout(done, 500));
  });
  await site.page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
}
const ended = () => site.page.waitForFunction(() => window.folioReport.reason !== null, null, { timeout: 900_000 });

async function fill(prompt, tokens) {
  await site.page.fill(by("prompt"), prompt);
  await site.page.fill(by("length"), String(tokens));
}

test("a text is written, folds, and its pages are shown", async () => {
  await fill(PROSE, 200);
  await site.page.click(by("write"));
  await ended();
  const found = await report();
  assert.ok(found.tokens.length === 200 || found.reason === "eos", JSON.stringify(found));
  assert.ok(found.folds >= 1, JSON.stringify(found));
  assert.ok((await site.page.textContent(by("text"))).startsWith(PROSE.slice(0, 40)));
  assert.equal(await site.page.locator(`${by("pages")} img`).count(), found.folds);
  assert.ok(found.slots < found.unfoldedSlots, JSON.stringify(found));
  console.log(`first token ${found.firstTokenMs} ms after the click (model loaded and downloaded in it), ${found.tokensPerSecond} tokens/s`);
  await shot("written-1280");
});

test("pressed on a warm cache, a text comes", async () => {
  await site.page.reload();
  await fill("The captain said", 4);
  await site.page.click(by("write"));
  await ended();
  const { firstTokenMs } = await report();
  console.log(`first token ${firstTokenMs} ms after the click, warm cache`);
  // The issue asks for ten seconds; a test that asserts a time would fail on a busy machine.
  assert.ok(firstTokenMs > 0);
});

test("stopped, saved, reloaded without a network, restored, and gone on with", async () => {
  await fill("It was a dark night", 5000);
  await site.page.click(by("write"));
  await site.page.waitForFunction(() => window.folioReport.tokens.length > 12, null, { timeout: 120_000 });
  await site.page.click(by("stop"));
  await ended();
  assert.equal((await report()).reason, "cancelled");
  const download = site.page.waitForEvent("download");
  await site.page.click(by("save"));
  const file = await (await download).path();
  const before = await site.page.textContent(by("text"));

  // A file that is none says so, and takes nothing away.
  await site.page.setInputFiles(by("open"), { name: "x.json", mimeType: "application/json", buffer: Buffer.from("{}") });
  await site.page.waitForSelector(`${by("error")}:not([hidden])`, { timeout: 60_000 });
  assert.equal(await site.page.textContent(by("text")), before);

  await site.page.evaluate(async () => (await navigator.serviceWorker.ready).active.state);
  await site.context.setOffline(true);
  await site.page.reload();
  await site.page.fill(by("length"), "10");
  await site.page.setInputFiles(by("open"), file);
  await site.page.waitForFunction((text) => document.querySelector('[data-testid="text"]').textContent.startsWith(text), before, { timeout: 120_000 });
  await ended();
  const restored = await site.page.textContent(by("text"));
  assert.ok(restored.length > before.length, "it goes on writing");
  await site.page.click(by("go-on"));
  await site.page.waitForFunction((text) => document.querySelector('[data-testid="text"]').textContent.length > text.length, restored, { timeout: 120_000 });
  await site.context.setOffline(false);
});

test(`${LONG} tokens: text KV constant, memory a fraction, the page never blocked`, async () => {
  await site.page.reload();
  await fill("The old house stood at the end of the lane", LONG);
  await site.page.locator('[data-testid="more"] > summary').click();
  await site.page.check(by("ignoreEos"));
  await site.page.click(by("write"));
  await ended();
  const found = await report();
  console.log(`${found.tokens.length} tokens: ${found.slots} slots of ${found.unfoldedSlots}, ${found.folds} folds, ${found.tokensPerSecond} tokens/s, longest task ${found.longestFrameMs} ms`);
  assert.ok(found.folds >= Math.floor(found.tokens.length / 128) - 1);
  // One open chunk of at most 128 tokens, and a quarter of the rest.
  assert.ok(found.slots <= 1 + 128 + 0.32 * found.unfoldedSlots, JSON.stringify(found));
  if (LONG >= 3000) {
    assert.ok(found.slots <= 0.32 * found.unfoldedSlots, JSON.stringify(found));
    assert.ok(found.longestFrameMs <= 100, `a task of ${found.longestFrameMs} ms`);
  }
  await shot("long-1280");
  await site.page.setViewportSize({ width: 390, height: 844 });
  await shot("long-390");
  const wide = await site.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(wide, 0, "no sideways scroll at 390 px");
  await site.page.emulateMedia({ colorScheme: "dark" });
  await shot("long-390-dark");
  await site.page.setViewportSize({ width: 1280, height: 900 });
  await shot("long-1280-dark");
  await site.page.emulateMedia({ colorScheme: "light" });
});

test("an error is shown where it arises, with what to do", async () => {
  const other = await open({ path: "index.html?software", webgpu: false });
  try {
    await other.page.fill(by("prompt"), "Once");
    await other.page.click(by("write"));
    await other.page.waitForSelector(`${by("error")}:not([hidden])`, { timeout: 60_000 });
    assert.match(await other.page.textContent(by("error")), /WebGPU/);
    await other.page.screenshot({ path: join(SHOTS, "error-1280.png") });
  } finally {
    await other.close();
  }
});

test("nothing was thrown", () => assert.deepEqual(site.errors, []));
