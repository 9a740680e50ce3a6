// @ts-check
// The page without a network. All of its files are kept as one version, which is whole or not there at all; models are
// not its business (they lie in OPFS).
//
// files.js is made by the build: `self.folioFiles = {version: "…", files: {"index.html": "sha256-…", …}}`, with the hashes
// as <script integrity> has them. Being imported, it is part of this script: when it changes, the browser installs anew.

/// <reference lib="webworker" />
importScripts("./files.js");

const worker = /** @type {ServiceWorkerGlobalScope & {folioFiles: {version: string, files: Record<string, string>}}} */ (/** @type {unknown} */ (self));
const { version, files } = worker.folioFiles;
const PREFIX = "folio-page ";
const CACHE = PREFIX + version;

worker.addEventListener("install", (event) => event.waitUntil(install()));

async function install() {
  const cache = await caches.open(CACHE);
  try {
    // The hash decides: were the host in the middle of an update, a file of the other version would fail the install.
    await Promise.all(
      Object.entries(files).map(async ([name, integrity]) => {
        const response = await fetch(name, { integrity, cache: "no-cache" });
        if (!response.ok) throw new Error(`${name}: ${response.status}`);
        await cache.put(name, response);
      }),
    );
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

worker.addEventListener("activate", (event) => event.waitUntil(activate()));

async function activate() {
  for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  await worker.clients.claim();
}

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const scope = new URL(worker.registration.scope);
  if (request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return;
  const name = decoded(url.pathname.slice(scope.pathname.length)) || "index.html";
  if (Object.hasOwn(files, name)) event.respondWith(fromCache(name, request));
});

/** @param {string} path */
function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // a stray %
  }
}

/** @param {string} name @param {Request} request */
async function fromCache(name, request) {
  const cache = await caches.open(CACHE);
  // A browser short of space may have dropped it; the network then has to do.
  return (await cache.match(name)) ?? fetch(request);
}

// A waiting version takes over when no tab uses the old one. The page may ask for it sooner, and gets it if it is alone:
// another tab would else fetch its worker from a version that is not its own.
worker.addEventListener("message", async (event) => {
  if (event.data !== "take over") return;
  const tabs = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  event.ports[0].postMessage(tabs.length > 1 ? "not alone" : "alone");
  if (tabs.length <= 1) await worker.skipWaiting();
});
