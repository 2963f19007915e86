// SPDX-License-Identifier: Apache-2.0
// A page that is reloaded, in a real browser, with what it remembers in the browser's own stores.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PersistedRequests, RestoredRequest } from "../../src/persist/index.js";
import { Harness } from "./harness.js";
import { gathered } from "./watching.js";

declare global {
  var persisted: typeof import("../../src/persist/index.js");
  var persist: PersistedRequests;
  var restored: readonly RestoredRequest[];
}

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start();
});
afterAll(() => harness.stop());

/** Has a page that was loaded connect, with requests remembered in `store`. */
async function connect(page: Page, store: "sessionStore" | "indexedDbStore"): Promise<void> {
  await harness.load(page, "index", "longcall");
  await harness.load(page, "persist/index", "persisted");
  await page.evaluate(
    ({ url, token, store }) => {
      globalThis.persist = persisted.persistence({ store: persisted[store]() });
      globalThis.client = longcall.connect(url, { token, persist });
    },
    { url: harness.url, token: harness.server.token(), store },
  );
}

test.each(["sessionStore", "indexedDbStore"] as const)(
  "complaint 26: a reload finds its requests again, and goes on where it was: %s",
  async (store) => {
    const page = await harness.open();
    await page.evaluate(() => client.close());
    await connect(page, store);
    const id = await harness.submit(page, [
      { count: store },
      { chunk: "a" },
      { chunk: "b" },
      { hold: store },
      { chunk: "c" },
      { result: "done" },
    ]);
    await page.evaluate(async (id) => {
      globalThis.seen = [];
      const events = client.attach(id)[Symbol.asyncIterator]();
      while (globalThis.seen.length < 2) {
        const { value } = await events.next();
        if (value?.kind === "chunk") globalThis.seen.push(value.data);
      }
      void events.next(); // done with b
    }, id);
    if (store === "indexedDbStore") {
      const context = page.context();
      await page.close({ runBeforeUnload: false });
      const next = await context.newPage();
      await next.goto(harness.site.origin);
      await goOn(next, store, id);
    } else {
      await page.reload();
      await goOn(page, store, id);
    }
    expect(await harness.counted(store)).toBe(1);
  },
);

async function goOn(page: Page, store: "sessionStore" | "indexedDbStore", id: string) {
  await connect(page, store);
  const ids = await page.evaluate(async () => {
    globalThis.restored = await persist.restored();
    return restored.map((one) => one.id);
  });
  expect(ids).toEqual([id]);
  await page.evaluate(() => {
    globalThis.seen = [];
    void (async () => {
      for (const { handle, seq } of restored) {
        for await (const event of handle.events({ afterSeq: seq })) {
          if (event.kind === "chunk") seen.push(event.data);
        }
        seen.push(await handle.result());
      }
    })();
  });
  await harness.release(store);
  await gathered(page, 2);
  const seen = await page.evaluate(() => globalThis.seen);
  expect(seen.slice(-2)).toEqual(["c", "done"]);
  await page.reload();
  await connect(page, store);
  expect(await page.evaluate(async () => (await persist.restored()).length)).toBe(0);
}

test("complaint 20: what was made offline is sent by the page that comes after it", async () => {
  const page = await harness.open();
  await page.evaluate(() => client.close());
  await connect(page, "sessionStore");
  await page.evaluate(() => client.ready());
  harness.wire.down();
  harness.wire.cut();
  await page.evaluate(() => {
    void client.submit("conf.script", { steps: [{ count: "offline" }, { result: "sent" }] });
  });
  harness.wire.up();
  await page.reload();
  await connect(page, "sessionStore");
  const results = await page.evaluate(async () => {
    const restored = await persist.restored();
    return Promise.all(restored.map(({ handle }) => handle.result()));
  });
  expect(results).toEqual(["sent"]);
  expect(await harness.counted("offline")).toBe(1);
});

test("a database that is deleted under a page is made again", async () => {
  const page = await harness.open();
  await harness.load(page, "persist/index", "persisted");
  const kept = await page.evaluate(async () => {
    const store = persisted.indexedDbStore("deleted");
    const one = { id: "r1" } as Parameters<typeof store.save>[1];
    await store.save("a", one);
    await new Promise<void>((resolve, reject) => {
      const request = indexedDB.deleteDatabase("deleted");
      request.onsuccess = () => resolve();
      request.onerror = request.onblocked = () => reject(new Error("not deleted"));
    });
    await store.save("b", one);
    return (await store.load()).length;
  });
  expect(kept).toBe(1);
});
