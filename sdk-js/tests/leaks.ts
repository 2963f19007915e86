// SPDX-License-Identifier: Apache-2.0
// A test that leaves a timer, a socket or a warning behind has failed.
import { afterEach, beforeEach, expect, vi } from "vitest";
import { cleanups } from "./cleanup.js";

const SOCKETS = ["TCPSocketWrap", "TCPServerWrap", "TCPConnectWrap"];

// The runner has timers of its own, made by functions that it took before this file was loaded.
const { setTimeout: set, clearTimeout: clear } = globalThis;
const timers = new Set<NodeJS.Timeout>();

globalThis.setTimeout = Object.assign(
  (callback: (...given: unknown[]) => void, ms?: number, ...given: unknown[]) => {
    const timer = set(() => {
      timers.delete(timer);
      callback(...given);
    }, ms);
    timers.add(timer);
    return timer;
  },
  { __promisify__: set.__promisify__ },
) as typeof setTimeout;

globalThis.clearTimeout = (timer) => {
  timers.delete(timer as NodeJS.Timeout);
  clear(timer);
};

function sockets(): string[] {
  return process.getActiveResourcesInfo().filter((name) => SOCKETS.includes(name));
}

beforeEach(() => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
});

afterEach(async () => {
  for (let stop = cleanups.pop(); stop !== undefined; stop = cleanups.pop()) await stop();
  const warnings = vi.mocked(console.warn).mock.calls;
  vi.restoreAllMocks();
  expect(warnings, "warnings that nobody expected").toEqual([]);
  // Closed sockets leave the list a few turns of the loop later.
  for (let turn = 0; turn < 1_000 && sockets().length > 0; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(sockets(), "sockets that are left").toEqual([]);
  // `fetch` has a timer of its own that holds nobody.
  const left = [...timers].filter((timer) => timer.hasRef());
  expect(left, "timers that are left").toEqual([]);
  timers.clear();
});
