// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchWindow } from "./chromium.js";
import { Harness } from "./harness.js";
import { gather, gathered } from "./watching.js";

const MINUTE = 60_000;

declare global {
  /** Milliseconds between the ticks of a timer of half a second. */
  var gaps: number[];
}

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start(() => launchWindow(10)); // and not only after five minutes
});
afterAll(() => harness.stop());

test(
  "complaint 17: a page whose timers come once a minute keeps its connection, and sees all at once",
  async () => {
    const page = await harness.open();
    const id = await harness.submit(page, [
      { chunk: "before" },
      { hold: "long" },
      { chunk: "after" },
      { result: "done" },
    ]);
    await page.evaluate(gather, id);
    await gathered(page, 1);
    await page.evaluate(() => {
      globalThis.gaps = [];
      let last = performance.now();
      const tick = () => {
        const now = performance.now();
        gaps.push(now - last);
        last = now;
        setTimeout(tick, 500);
      };
      tick();
    });

    const other = await page.context().newPage();
    await other.bringToFront();
    await other.waitForTimeout(4 * MINUTE);
    expect(await page.evaluate(() => document.hidden)).toBe(true);
    const longest = await page.evaluate(() => Math.max(...gaps));
    expect(longest, "timers are held back, or this test says nothing").toBeGreaterThan(55_000);
    expect(await page.evaluate(() => states.map(({ state }) => state))).toEqual([
      "connecting",
      "ready",
    ]);
    expect(harness.wire.tries).toBe(1);

    await harness.release("long");
    await gathered(page, 3);
    expect(await page.evaluate(() => document.hidden), "and it was not even looked at").toBe(true);
    expect(await page.evaluate(() => seen)).toEqual(["before", "after", "done"]);
  },
  8 * MINUTE,
);

test(
  "complaint 16: it finds out that its connection is dead although its timers come once a minute",
  async () => {
    const page = await harness.open();
    const other = await page.context().newPage();
    await other.bringToFront();
    await page.waitForFunction(() => document.hidden, undefined, { polling: 100 });
    harness.wire.down();
    harness.wire.up();
    await page.waitForFunction(() => states.length === 5, undefined, {
      polling: 1_000,
      timeout: 6 * MINUTE,
    });
    expect(await page.evaluate(() => document.hidden)).toBe(true);
    expect(await page.evaluate(() => states.slice(2))).toMatchObject([
      { state: "reconnecting", code: 4408 },
      { state: "connecting" },
      { state: "ready", resumed: true },
    ]);
  },
  8 * MINUTE,
);
