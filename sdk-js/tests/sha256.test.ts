// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Sha256 } from "../src/sha256.js";

test("texts of every length around a block, in pieces of any size, are digested as node:crypto does", () => {
  for (let length = 0; length <= 200; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + length) & 0xff);
    for (const piece of [1, 7, 63, 64, 65, 200]) {
      const digest = new Sha256();
      for (let at = 0; at < length; at += piece) digest.update(bytes.subarray(at, at + piece));
      expect(digest.hex()).toBe(createHash("sha256").update(bytes).digest("hex"));
    }
  }
});

test("a megabyte is digested as node:crypto does", () => {
  const bytes = Uint8Array.from({ length: 2 ** 20 + 13 }, (_, i) => i ^ (i >>> 8));
  const digest = new Sha256();
  digest.update(bytes);
  expect(digest.hex()).toBe(createHash("sha256").update(bytes).digest("hex"));
});
