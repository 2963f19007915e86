// SPDX-License-Identifier: Apache-2.0
import { expect, test, vi } from "vitest";
import { TestClock } from "../../src/testing/index.js";

test("timers run in the order of their times, and no earlier", async () => {
  const clock = new TestClock();
  const told: string[] = [];
  clock.setTimeout(() => told.push(`b at ${clock.now()}`), 20);
  clock.setTimeout(() => told.push(`a at ${clock.now()}`), 10);
  await clock.advance(9);
  expect(told).toEqual([]);
  await clock.advance(11);
  expect(told).toEqual(["a at 10", "b at 20"]);
  expect(clock.now()).toBe(20);
  expect(clock.pending).toBe(0);
});

test("what a timer sets going is done before the next one is due", async () => {
  const clock = new TestClock();
  const told: string[] = [];
  clock.setTimeout(async () => {
    for (let turn = 0; turn < 50; turn++) await null;
    told.push(`first done at ${clock.now()}`);
    clock.setTimeout(() => told.push(`its own at ${clock.now()}`), 5);
  }, 10);
  clock.setTimeout(() => told.push(`second at ${clock.now()}`), 20);
  await clock.advance(100);
  expect(told).toEqual(["first done at 10", "its own at 15", "second at 20"]);
});

test("a timer that is cleared does not run, and time does not go back", async () => {
  const clock = new TestClock();
  const timer = clock.setTimeout(() => expect.unreachable(), 10);
  clock.clearTimeout(timer);
  clock.clearTimeout(undefined);
  await clock.advance(20);
  await expect(clock.advance(-1)).rejects.toBeInstanceOf(RangeError);
  expect(clock.now()).toBe(20);
});

test("it goes on where a test has put fakes in the place of timers", async () => {
  vi.useFakeTimers();
  try {
    const clock = new TestClock();
    const run = vi.fn();
    clock.setTimeout(run, 10);
    await clock.advance(10);
    expect(run).toHaveBeenCalledOnce();
  } finally {
    vi.useRealTimers();
  }
});
