// A static file server with faults on request.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
  ".png": "image/png",
};

/**
 * Serves `dir` on loopback. `faults` may be changed at any time, by path:
 * `{ cutAfter: n }` breaks the connection after n bytes (with `then: 503`, only once: later requests get that status),
 * `{ status: 404 }`, `{ flip: at }` changes the byte at `at`.
 * `requests` has every request, as `{ path, range }`.
 */
export async function serve(dir) {
  const faults = new Map();
  const requests = [];
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    requests.push({ path, range: request.headers.range ?? null });
    const fault = faults.get(path) ?? {};
    const file = join(dir, path.endsWith("/") ? path + "index.html" : path);
    let size;
    try {
      size = statSync(file).size;
    } catch {
      fault.status = 404;
    }
    if (fault.status) return response.writeHead(fault.status).end();
    const from = range ? Number(range[1]) : 0;
    const end = range?.[2] ? Math.min(Number(range[2]) + 1, size) : size;
    const headers = {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-length": end - from,
      "accept-ranges": "bytes",
      "cache-control": "no-cache",
      etag: `"${size}"`,
    };
    if (range) headers["content-range"] = `bytes ${from}-${end - 1}/${size}`;
    response.writeHead(range ? 206 : 200, headers);
    if (request.method === "HEAD") return response.end();
    let at = from;
    const body = createReadStream(file, { start: from, end: Math.max(end - 1, 0) });
    body.on("data", (piece) => {
      if (fault.flip >= at && fault.flip < at + piece.length) piece[fault.flip - at] ^= 0x55;
      at += piece.length;
      if (fault.cutAfter !== undefined && at - from >= fault.cutAfter) {
        body.destroy();
        if (fault.then) faults.set(path, { status: fault.then });
        response.write(piece.subarray(0, piece.length - (at - from - fault.cutAfter)), () => response.destroy());
      } else if (!response.write(piece)) {
        body.pause();
        response.once("drain", () => body.resume());
      }
    });
    body.on("end", () => response.end());
    response.on("close", () => body.destroy());
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://localhost:${server.address().port}/`,
    faults,
    requests,
    close: () => new Promise((done) => (server.closeAllConnections(), server.close(done))),
  };
}
