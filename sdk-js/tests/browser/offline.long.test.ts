// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "vitest";
import { Harness } from "./harness.js";
import { gather, gathered } from "./watching.js";

const MINUTE = 60_000;

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start();
});
afterAll(() => harness.stop());

test(
  "a minute offline: hardly a try, the end at once when online, and nothing twice",
  async () => {
    const page = await harness.open();
    const steps = Array.from({ length: 200 }, (_each, index) => ({ chunk: index }));
    const id = await harness.submit(page, [
      { count: "offline-runs" },
      ...steps.slice(0, 50),
      { hold: "minute" },
      ...steps.slice(50),
      { result: "done" },
    ]);
    await page.evaluate(gather, id);
    await gathered(page, 50);

    const [tries, asked] = [harness.wire.tries, await page.evaluate(() => globalThis.asked)];
    harness.wire.down();
    await page.context().setOffline(true);
    await harness.release("minute");
    await page.waitForTimeout(MINUTE);
    const [failedTries, tokens, state] = await page.evaluate(() => [
      states.filter(({ state }) => state === "connecting").length - 1,
      globalThis.asked,
      client.state,
    ]);
    expect(state).toMatchObject({ state: "reconnecting" });
    expect(failedTries, "tries while offline").toBeLessThanOrEqual(5);
    expect(tokens - asked).toBe(failedTries);
    expect(harness.wire.tries - tries, "none of them came here").toBe(0);

    harness.wire.up();
    await page.context().setOffline(false);
    await gathered(page, 201);
    expect(await page.evaluate(() => seen)).toEqual([...steps.map(({ chunk }) => chunk), "done"]);
    expect(harness.wire.tries - tries, "and one was enough").toBe(1);
    expect(await harness.counted("offline-runs")).toBe(1);
  },
  4 * MINUTE,
);
