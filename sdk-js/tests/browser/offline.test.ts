// SPDX-License-Identifier: Apache-2.0
// A network that goes away: silently, as the relay does it, and as the browser says it.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Harness } from "./harness.js";
import { gather, gathered } from "./watching.js";

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start();
});
afterAll(() => harness.stop());

test("complaint 11: what ended while the page was offline is there when it is online again", async () => {
  const page = await harness.open();
  const id = await harness.submit(page, [
    { chunk: "before" },
    { hold: "offline" },
    { chunk: "after" },
    { result: "done" },
  ]);
  await page.evaluate(gather, id);
  await gathered(page, 1);

  harness.wire.down();
  await page.context().setOffline(true);
  await harness.release("offline");
  await harness.control.attach(id).result();
  // What is asked meanwhile waits.
  await page.evaluate(() => {
    Object.assign(globalThis, { answer: client.call("echo", "asked offline") });
  });
  harness.wire.up();
  await page.context().setOffline(false);
  await gathered(page, 3);
  expect(await page.evaluate(() => seen)).toEqual(["before", "after", "done"]);
  const answer = await page.evaluate(() => (globalThis as { answer?: unknown }).answer);
  expect(answer).toBe("asked offline");
});

test("complaint 16: a connection that is dead without a word is found out when the page asks", async () => {
  const page = await harness.open();
  harness.wire.down();
  harness.wire.up(); // for new ones; the old one stays silent for ever
  await page.evaluate(() => dispatchEvent(new Event("online"))); // another network
  await page.waitForFunction(() => states.at(-1)?.state === "ready" && states.length > 2);
  expect(await page.evaluate(() => states.map(({ state }) => state))).toEqual([
    "connecting",
    "ready",
    "reconnecting",
    "connecting",
    "ready",
  ]);
  expect(await page.evaluate(() => states[2])).toMatchObject({ code: 4408 });
  expect(await page.evaluate(() => pageEvents)).toEqual(["pageshow false", "online", "ping"]);
  expect(await page.evaluate(() => client.call("echo", 1))).toBe(1);
  await page.context().close();
});
