// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "vitest";
import { launchWindow } from "./chromium.js";
import { Harness } from "./harness.js";
import { gather, gathered } from "./watching.js";

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start(() => launchWindow(300));
});
afterAll(() => harness.stop());

test("complaint 11: a hidden page that has lost its connection without a word is up to date when it is seen", async () => {
  const page = await harness.open();
  const id = await harness.submit(page, [
    { chunk: "before" },
    { hold: "hidden" },
    { chunk: "after" },
    { result: "done" },
  ]);
  await page.evaluate(gather, id);
  await gathered(page, 1);

  const other = await page.context().newPage();
  await other.bringToFront();
  await page.waitForFunction(() => pageEvents.includes("hidden"), undefined, { polling: 100 });
  expect(await page.evaluate(() => document.hidden)).toBe(true);
  harness.wire.down();
  harness.wire.up(); // for new connections
  await harness.release("hidden");
  await harness.control.attach(id).result();

  await page.bringToFront();
  await gathered(page, 3);
  expect(await page.evaluate(() => seen)).toEqual(["before", "after", "done"]);
  expect(await page.evaluate(() => states.map(({ state }) => state))).toEqual([
    "connecting",
    "ready",
    "reconnecting",
    "connecting",
    "ready",
  ]);
  expect(await page.evaluate(() => states[2])).toMatchObject({ code: 4408 });
  expect(await page.evaluate(() => pageEvents)).toEqual([
    "pageshow false",
    "hidden",
    "visible",
    "ping", // which found it out
  ]);
});
