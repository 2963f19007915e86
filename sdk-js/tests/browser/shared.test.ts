// SPDX-License-Identifier: Apache-2.0
// Tabs of one origin in a real browser that share a connection, both ways.
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Harness } from "./harness.js";
import { gather, gathered } from "./watching.js";

declare global {
  var shared: typeof import("../../src/shared/index.js");
}

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start();
});
afterAll(() => harness.stop());

const contexts = new Set<BrowserContext>();

afterEach(async () => {
  for (const context of contexts) await context.close();
  contexts.clear();
  await harness.wire.opened(0);
});

/** Opens a tab whose `client` shares its connection: by a worker, or without. */
async function open(byWorker: boolean, context?: BrowserContext, sub?: string): Promise<Page> {
  const page = await harness.open(context);
  contexts.add(page.context());
  await harness.load(page, "shared/index", "shared");
  await page.evaluate(
    async ({ url, token, byWorker }) => {
      await client.close();
      const worker = () => new SharedWorker("/modules/shared/worker.js", { type: "module" });
      globalThis.client = shared.connect(url, { token, ...(byWorker && { worker }) });
      globalThis.states = [client.state];
      client.onState((state) => states.push(state));
      await client.ready();
    },
    { url: harness.url, token: harness.server.token(sub), byWorker },
  );
  return page;
}

describe.each([
  ["by a SharedWorker", true],
  ["by one of the tabs", false],
])("%s", (_name, byWorker) => {
  test("complaint 25: two tabs have one socket, and watching one request costs one stream", async () => {
    const first = await open(byWorker);
    const second = await open(byWorker, first.context());
    await harness.wire.opened(1);
    const id = await harness.submit(first, [
      { chunk: "begun" },
      { hold: `watched-${byWorker}` },
      ...Array.from({ length: 50 }, () => ({ chunk: "x".repeat(20_000) })),
      { result: "done" },
    ]);
    for (const page of [first, second]) await page.evaluate(gather, id);
    for (const page of [first, second]) await gathered(page, 1);
    const before = harness.wire.received;
    await harness.release(`watched-${byWorker}`);
    for (const page of [first, second]) await gathered(page, 52);
    const sent = harness.wire.received - before;
    expect(sent).toBeGreaterThan(1_000_000);
    expect(sent, "the server sent each chunk once").toBeLessThan(1_500_000);
    expect(harness.wire.open).toBe(1);
    expect(await first.evaluate(() => seen)).toEqual(await second.evaluate(() => seen));
  });

  test("a tab that is closed takes nothing of the others along", async () => {
    const first = await open(byWorker);
    const second = await open(byWorker, first.context());
    await harness.wire.opened(1);
    const id = await harness.submit(first, [
      { count: `closed-${byWorker}` },
      { chunk: 1 },
      { hold: `closed-${byWorker}` },
      { chunk: 2 },
      { result: "done" },
    ]);
    await second.evaluate(gather, id);
    await gathered(second, 1);
    await first.close(); // the one that leads, where one does
    await harness.release(`closed-${byWorker}`);
    await gathered(second, 3);
    expect(await second.evaluate(() => seen)).toEqual([1, 2, "done"]);
    expect(await second.evaluate(() => client.call("echo", 7))).toEqual(7);
    expect(harness.wire.open).toBe(1);
    expect(await harness.counted(`closed-${byWorker}`)).toBe(1);
  });

  test("tabs of two users have two connections", async () => {
    const alice = await open(byWorker);
    const bob = await open(byWorker, alice.context(), "bob");
    const again = await open(byWorker, alice.context());
    await harness.wire.opened(2);
    const id = await harness.submit(alice, [{ result: "alice's" }]);
    const seenBy = (page: Page) =>
      page.evaluate(
        (id) =>
          client
            .attach(id)
            .result()
            .catch(({ code }) => code),
        id,
      );
    expect(await seenBy(bob)).toBe("NOT_FOUND");
    expect(await seenBy(again)).toBe("alice's");
  });
});

test("a frozen tab does not keep the connection of the others", async () => {
  const first = await open(false);
  const second = await open(false, first.context());
  await harness.wire.opened(1);
  const id = await harness.submit(second, [{ chunk: 1 }, { hold: "frozen" }, { result: "done" }]);
  await second.evaluate(gather, id);
  await gathered(second, 1);
  const session = await first.context().newCDPSession(first);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  await harness.release("frozen");
  await gathered(second, 2);
  expect(await second.evaluate(() => seen)).toEqual([1, "done"]);
  await session.send("Page.setWebLifecycleState", { state: "active" });
  expect(await first.evaluate((id) => client.attach(id).result(), id)).toBe("done");
  await harness.wire.opened(1);
});

test("where the worker's script cannot be loaded, one of the tabs has the connection", async () => {
  const page = await harness.open();
  contexts.add(page.context());
  await harness.load(page, "shared/index", "shared");
  const result = await page.evaluate(
    async ({ url, token }) => {
      await client.close();
      const worker = () => new SharedWorker("/modules/missing.txt", { type: "module" });
      globalThis.client = shared.connect(url, { token, worker });
      return client.call("echo", 5);
    },
    { url: harness.url, token: harness.server.token() },
  );
  expect(result).toBe(5);
});
