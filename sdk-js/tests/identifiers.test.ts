// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { newRequestId, uuid7 } from "../src/identifiers.js";

test("the example of RFC 9562 is made from its parts", () => {
  // 017F22E2-79B0-7CC3-98C4-DC0C0C07398F: rand_a is CC3, rand_b 18C4DC0C0C07398F.
  const entropy = Uint8Array.from([0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f]);
  expect(uuid7(0x017f22e279b0, entropy)).toBe("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
});

// clause: 5.1.3
test("version and variant win over the randomness", () => {
  expect(uuid7(0, new Uint8Array(10).fill(0xff))).toBe("00000000-0000-7fff-bfff-ffffffffffff");
  expect(uuid7(2 ** 48 - 1, new Uint8Array(10))).toBe("ffffffff-ffff-7000-8000-000000000000");
});

test("ids are of now, and no two are equal", () => {
  const before = Date.now();
  const ids = Array.from({ length: 1_000 }, newRequestId);
  expect(new Set(ids).size).toBe(1_000);
  const time = Number.parseInt(ids[0]?.replace("-", "").slice(0, 12) ?? "", 16);
  expect(time).toBeGreaterThanOrEqual(before);
  expect(time).toBeLessThanOrEqual(Date.now());
});
