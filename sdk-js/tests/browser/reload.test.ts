// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "vitest";
import { Harness } from "./harness.js";

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start();
});
afterAll(() => harness.stop());

test("complaint 26: a page that is reloaded in mid-request sees all of it, and nothing runs again", async () => {
  const page = await harness.open();
  const id = await harness.submit(page, [
    { count: "reload-runs" },
    { chunk: "before" },
    { progress: { percentage: 50, message: "half" } },
    { hold: "reload" },
    { chunk: "after" },
    { result: "done" },
  ]);
  await page.evaluate(async (id) => {
    for await (const event of client.attach(id)) if (event.kind === "progress") return;
  }, id);

  await page.reload();
  await harness.wire.opened(0);
  await harness.connect(page);
  const told = page.evaluate(async (id) => {
    const handle = client.attach(id);
    const events: unknown[] = [];
    for await (const event of handle) {
      if (event.kind === "chunk") events.push(event.data);
      if (event.kind === "progress") events.push(event.percentage);
    }
    return { events, result: await handle.result() };
  }, id);
  await harness.release("reload");
  const { events, result } = await told;
  expect(events).toEqual(expect.arrayContaining(["before", 50, "after"]));
  expect(events.filter((event) => event !== 50)).toEqual(["before", "after"]);
  expect(result).toBe("done");
  expect(await harness.counted("reload-runs")).toBe(1);
});
