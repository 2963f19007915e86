// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "vitest";
import { Harness } from "./harness.js";
import { gather, gathered } from "./watching.js";

const LIFE_SECONDS = 4;

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start();
});
afterAll(() => harness.stop());

test("complaint 13: tokens that expire while a page works are renewed on its connection, and after its absence", async () => {
  const page = await harness.open();
  await page.exposeFunction("freshToken", () => harness.server.token("alice", LIFE_SECONDS));
  await page.evaluate(async () => {
    await client.close();
    Object.assign(globalThis, { reasons: [] });
    globalThis.client = longcall.connect(url, {
      token: (reason) => {
        reasons.push(reason);
        return freshToken();
      },
    });
    globalThis.states = [client.state];
    client.onState((state) => states.push(state));
    await client.ready();
  });
  const tries = harness.wire.tries;
  const id = await harness.submit(page, [{ chunk: 1 }, { hold: "token" }, { result: "done" }]);
  await page.evaluate(gather, id);

  // The third token was asked for when the second one had lived for 80 %: the first one is dead.
  await page.waitForFunction(() => reasons.length >= 3);
  expect(await page.evaluate(() => states.map(({ state }) => state))).toEqual([
    "connecting",
    "ready",
  ]);
  expect(harness.wire.tries).toBe(tries);

  await page.goto(`${harness.site.origin}/other`);
  await page.waitForTimeout(LIFE_SECONDS * 1_000); // all that it had are dead
  await page.evaluate(() => history.back());
  await harness.release("token");
  await gathered(page, 2);
  expect(await page.evaluate(() => seen)).toEqual([1, "done"]);
  expect(await page.evaluate(() => pageEvents.at(-1))).toBe("pageshow true");
  const asked = await page.evaluate(() => reasons);
  expect(asked.slice(0, 3)).toEqual(["connect", "refresh", "refresh"]);
  expect(asked.filter((reason) => reason === "connect")).toHaveLength(2);
  expect(asked).not.toContain("unauthorized");
});

declare global {
  /** Why tokens were asked for. */
  var reasons: string[];
  var freshToken: () => Promise<string>;
}
