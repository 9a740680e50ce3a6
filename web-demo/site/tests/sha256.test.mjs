// The own SHA-256 against WebCrypto's: every length around the block's borders, in pieces cut anywhere.
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import test from "node:test";
import { Sha256, sha256 } from "../store/sha256.js";

const reference = async (bytes) => Buffer.from(await webcrypto.subtle.digest("SHA-256", bytes)).toString("hex");

test("the standard's example", () => {
  assert.equal(sha256(new TextEncoder().encode("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});

test("lengths 0 to 200, each cut in three", async () => {
  for (let length = 0; length <= 200; length++) {
    const bytes = webcrypto.getRandomValues(new Uint8Array(length));
    const cut = Math.floor(Math.random() * length);
    const hash = new Sha256().update(bytes.subarray(0, cut >> 1)).update(bytes.subarray(cut >> 1, cut)).update(bytes.subarray(cut));
    assert.equal(hash.hex(), await reference(bytes), `length ${length}, cut at ${cut}`);
  }
});

test("a megabyte and a bit in uneven pieces", async () => {
  const bytes = new Uint8Array((1 << 20) + 77);
  for (let i = 0; i < bytes.length; i += 65536) webcrypto.getRandomValues(bytes.subarray(i, i + 65536));
  const hash = new Sha256();
  for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7 + 13) % 50_021) hash.update(bytes.subarray(at, at + size));
  assert.equal(hash.hex(), await reference(bytes));
});
