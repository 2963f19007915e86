// SPDX-License-Identifier: Apache-2.0
import { afterEach, expect, test, vi } from "vitest";
import { checkedUrl, platformClock } from "../src/options.js";

afterEach(() => vi.useRealTimers());

test("the clock counts sleep where the wall clock does, and never goes back (10.31)", () => {
  vi.useFakeTimers();
  const clock = platformClock();
  const start = clock.now();
  vi.advanceTimersByTime(1_000);
  expect(clock.now() - start).toBe(1_000);
  vi.setSystemTime(Date.now() + 3_600_000); // asleep: the steady clock stood still
  expect(clock.now() - start).toBe(3_601_000);
  vi.setSystemTime(0);
  vi.advanceTimersByTime(5);
  expect(clock.now() - start).toBe(3_601_005);
});

test.each([
  ["ws://host", "ws://host/v1/connect"],
  ["wss://host/?a=b", "wss://host/v1/connect?a=b"],
  ["wss://host:8/proxy/v1/connect", "wss://host:8/proxy/v1/connect"],
])("the path of a server is put where an address has none: %s", (given, meant) => {
  expect(checkedUrl(given)).toBe(meant);
  expect(checkedUrl(new URL(given))).toBe(meant);
});
