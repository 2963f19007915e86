// SPDX-License-Identifier: Apache-2.0
// The back/forward cache. Chromium cuts the sockets of a page that it keeps and tells the page so when
// it comes back; others do not keep a page that has one. A client has none by then.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Harness } from "./harness.js";
import { gather, gathered } from "./watching.js";

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start();
});
afterAll(() => harness.stop());

test("complaint 26: a page that comes back out of the back/forward cache goes on where it was", async () => {
  const page = await harness.open();
  const id = await harness.submit(page, [
    { chunk: "before" },
    { hold: "back" },
    { chunk: "after" },
    { result: "done" },
  ]);
  await page.evaluate(gather, id);
  await gathered(page, 1);

  await page.goto(`${harness.site.origin}/other`);
  await harness.wire.opened(0);
  await harness.release("back");
  await page.evaluate(() => history.back());
  await gathered(page, 3);
  expect(await page.evaluate(() => pageEvents.at(-1)), "the page was kept").toBe("pageshow true");
  expect(await page.evaluate(() => seen)).toEqual(["before", "after", "done"]);
  expect(await page.evaluate(() => states)).toEqual([
    { state: "connecting" },
    { state: "ready", resumed: false },
    { state: "reconnecting", retryInMs: 0, code: 1000, reason: "the page was left" },
    { state: "connecting" },
    { state: "ready", resumed: true },
  ]);
  expect(harness.wire.tries).toBe(2);
});
