// Chromium with WebGPU on SwiftShader, the page, and the native command line to compare with.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { serve } from "./server.mjs";

const here = dirname(fileURLToPath(import.meta.url));
/** What `cargo xtask web` made. */
export const DIST = process.env.FOLIO_DIST ?? join(here, "../dist");
/** Where screenshots go. */
export const SHOTS = process.env.FOLIO_SHOTS ?? join(here, "shots");

const WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];

function executable() {
  const names = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  const found = names.find((name) => name && existsSync(name));
  if (!found) throw new Error("no chromium: install it (apt-get install chromium), or name it in $CHROMIUM");
  return found;
}

/** A browser; without `webgpu` it has none. */
export function launch({ webgpu = true } = {}) {
  const args = ["--no-sandbox", ...(webgpu ? WEBGPU : ["--disable-features=WebGPU", "--disable-webgpu"])];
  return chromium.launch({ executablePath: executable(), args });
}

/** A server, a browser, and a page in a fresh profile whose errors are collected. */
export async function open({ webgpu = true, dist = DIST, path = "", init, viewport } = {}) {
  const server = await serve(dist);
  const browser = await launch({ webgpu });
  const context = await browser.newContext({ viewport: viewport ?? { width: 1280, height: 900 } });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  if (init) await page.addInitScript(init);
  await page.goto(server.url + path);
  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { server, browser, context, page, errors, close };
}

/**
 * Runs `body` in the page with the library: `body(folio, arg)`; the model is loaded and disposed of around it.
 * A library error comes back as `{ code, message }`.
 */
export function withFolio(page, body, arg, options = {}) {
  return page.evaluate(
    async ({ body, arg, options }) => {
      const { Folio } = await import(new URL("folio.js", document.baseURI).href);
      let folio;
      try {
        folio = await Folio.load({ model: "folio-nano", software: true, ...options });
        return await new Function(`return (${body})`)()(folio, arg);
      } catch (error) {
        return { code: error.code ?? "none", message: String(error.message ?? error) };
      } finally {
        await folio?.dispose();
      }
    },
    { body: body.toString(), arg, options },
  );
}

/** The same prompt through the native program, greedy: its session file and its pages. */
export function native(prompt, tokens, more = []) {
  const program = process.env.FOLIO_BIN;
  if (!program) throw new Error("FOLIO_BIN must name the native program: run these tests by `cargo xtask test`");
  const dir = mkdtempSync(join(tmpdir(), "folio-web-"));
  const session = join(dir, "session.json");
  execFileSync(
    program,
    ["generate", "--quiet", "--device", "cpu", "--prompt", prompt, "--max-new-tokens", String(tokens), "--ignore-eos", "--temperature", "0", "--top-p", "1"].concat(
      ["--save-session", session, "--pages", join(dir, "pages")],
      more,
    ),
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const names = readdirSync(join(dir, "pages")).sort();
  const made = { session: JSON.parse(readFileSync(session, "utf8")), pages: names.map((name) => readFileSync(join(dir, "pages", name))) };
  rmSync(dir, { recursive: true });
  return made;
}

/** Some prose that fills more than one chunk. */
export const PROSE =
  "The lamp had burned low when the old clerk came up the stairs again, and the rain, which had been falling since noon, " +
  "ran down the window in long bright lines. He put the ledger upon the table and turned its pages slowly, as a man does " +
  "who already knows what he will find. There were the names of the ships, and the names of the masters, and beside each " +
  "of them, in a small square hand, the sum that was owed. He read them all. Then he closed the book, and sat for a while " +
  "with his hand upon it, and listened to the water in the street. Nobody had asked him to come. Nobody, he thought, would " +
  "ask him to go; and so he took up his pen, and began to write to his sister the letter that he had owed her since the spring.";
