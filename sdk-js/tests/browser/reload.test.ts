// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "vitest";
import { Harness } from "./harness.js";
import { gather, gathered } from "./watching.js";

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start();
});
afterAll(() => harness.stop());

test("complaint 26: a page that is reloaded in mid-request sees all of it, and nothing runs again", async () => {
  const page = await harness.open();
  const id = await harness.submit(page, [
    { count: "runs" },
    { chunk: "before" },
    { progress: { percentage: 50 } },
    { hold: "reload" },
    { chunk: "after" },
    { result: "done" },
  ]);
  await page.evaluate(gather, id);
  await gathered(page, 1);

  await page.reload();
  await harness.connect(page);
  expect(harness.wire.open, "the old page has no socket any more").toBe(1);
  const percentage = await page.evaluate(async (id) => {
    for await (const event of client.attach(id)) {
      if (event.kind === "progress") return event.percentage;
    }
    return undefined;
  }, id);
  expect(percentage).toBe(50);
  await page.evaluate(gather, id);
  await harness.release("reload");
  await gathered(page, 3);
  expect(await page.evaluate(() => seen)).toEqual(["before", "after", "done"]);
  expect(await harness.counted("runs")).toBe(1);
});

test("complaint 26: a page that is closed cancels nothing, and another one sees the end", async () => {
  const first = await harness.open();
  const id = await harness.submit(first, [{ chunk: 1 }, { hold: "closed" }, { result: "done" }]);
  await first.close();
  await harness.release("closed");
  const second = await harness.open(); // another profile: nothing but the id
  await second.evaluate(gather, id);
  await gathered(second, 2);
  expect(await second.evaluate(() => seen)).toEqual([1, "done"]);
});
