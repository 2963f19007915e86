// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Backoff } from "../src/backoff.js";

// clause: 9.4.2
test("waits are random between 0 and a bound that doubles up to the maximum (9.4.2)", () => {
  const numbers = [1, 0, 0.5, 1, 1];
  const backoff = new Backoff(500, 3_000, () => numbers.shift() ?? 0);
  expect(Array.from({ length: 5 }, () => backoff.waitMs())).toEqual([500, 0, 1_000, 3_000, 3_000]);
});

// clause: 9.4.3, 9.4.4
test("a welcome sets the bound back, a violation behind it takes that back (9.4.3, 9.4.4)", () => {
  const backoff = new Backoff(500, 20_000, () => 1);
  backoff.waitMs();
  backoff.waitMs();
  backoff.welcomed();
  expect(backoff.waitMs()).toBe(500);
  backoff.waitMs();
  backoff.welcomed();
  backoff.violated();
  expect(backoff.waitMs()).toBe(2_000);
});
