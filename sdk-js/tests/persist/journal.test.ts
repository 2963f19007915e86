// SPDX-License-Identifier: Apache-2.0
// A page is reloaded in the middle of its requests; the next one picks them up.
import { describe, expect, test, vi } from "vitest";
import {
  type Client,
  type ClientOptions,
  ConfigurationError,
  ConnectionClosedError,
  type RequestEvent,
  type WebSocketConstructor,
  type WebSocketLike,
} from "../../src/index.js";
import {
  type PersistedRequests,
  type PersistOptions,
  persistence,
  type StorageLike,
  sessionStore,
} from "../../src/persist/index.js";
import { InMemoryServer } from "../../src/testing/index.js";
import { cleanups } from "../cleanup.js";

/** The `sessionStorage` of one tab. */
class Storage implements StorageLike {
  readonly items = new Map<string, string>();
  /** Throws at each use, as in a private window. */
  isForbidden = false;
  room = Number.POSITIVE_INFINITY;

  get length(): number {
    if (this.isForbidden) throw new DOMException("forbidden", "SecurityError");
    return this.items.size;
  }

  key(index: number): string | null {
    return [...this.items.keys()][index] ?? null;
  }

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    if (this.isForbidden) throw new DOMException("forbidden", "SecurityError");
    if (value.length > this.room) throw new DOMException("full", "QuotaExceededError");
    this.items.set(key, value);
  }

  removeItem(key: string): void {
    if (this.isForbidden) throw new DOMException("forbidden", "SecurityError");
    this.items.delete(key);
  }

  /** What is kept, by the ids. */
  get kept(): { readonly [key: string]: unknown }[] {
    return [...this.items.values()].map((text) => JSON.parse(text));
  }
}

interface Page {
  readonly client: Client;
  readonly persist: PersistedRequests;
  /** The page is gone, in the middle of whatever it did. */
  leave(): void;
}

class Tab {
  readonly server = new InMemoryServer({
    authenticate: (token = "") => ({ principal: token.split("/")[0] ?? "" }),
  });
  readonly storage = new Storage();
  readonly warnings: string[] = [];
  /** Where the events of the page are heard. */
  readonly window = new EventTarget();

  constructor() {
    vi.stubGlobal("addEventListener", this.window.addEventListener.bind(this.window));
    cleanups.push(() => vi.unstubAllGlobals());
    cleanups.push(() => this.server.stop());
  }

  /** Loads the page. */
  load(of: ClientOptions = {}, options: PersistOptions = {}): Page {
    const { WebSocket } = this.server;
    const page = { isGone: false };
    const sockets = new Set<WebSocketLike>();
    const Own = class {
      constructor(url: string, protocols?: string[]) {
        const socket = new WebSocket(url, protocols);
        if (page.isGone) socket.close(); // nothing comes of it
        sockets.add(socket);
        // biome-ignore lint/correctness/noConstructorReturn: it stands for the socket
        return socket;
      }
    } as unknown as WebSocketConstructor;
    const persist = persistence({ store: sessionStore(this.storage), ...options });
    const client = this.server.connect({
      token: "alice",
      onWarning: (text) => this.warnings.push(text),
      ...of,
      webSocket: Own,
      persist,
    });
    cleanups.push(() => client.close());
    return {
      client,
      persist,
      leave: () => {
        page.isGone = true;
        for (const socket of sockets) {
          socket.onmessage = null; // nothing of this page runs any more
          socket.close();
        }
      },
    };
  }
}

function short(event: RequestEvent): string {
  if (event.kind === "status") return event.status;
  return event.kind === "chunk" ? `${event.data}` : `${event.percentage}%`;
}

describe("a page that is reloaded", () => {
  test("complaint 26: has its requests again, and goes on where it was", async () => {
    const tab = new Tab();
    const { server, storage } = tab;
    server.on("report");
    const before = tab.load();
    const handle = await before.client.submit("report", 1, { metadata: { row: "7" } });
    const request = server.request(handle.id);
    for (const piece of ["a", "b", "c"]) request.chunk(piece);
    const events = handle[Symbol.asyncIterator]();
    for (let taken = 0; taken < 5; taken++) await events.next(); // queued, processing, a, b, c
    request.chunk("d");
    void events.next().catch(() => {}); // the page is done with c
    tab.window.dispatchEvent(new Event("pagehide"));
    before.leave();
    await server.clock.settle();

    const after = tab.load();
    const restored = await after.persist.restored();
    expect(restored).toMatchObject([
      { id: handle.id, action: "report", metadata: { row: "7" }, seq: 5 },
    ]);
    const [same] = restored;
    if (same === undefined) throw new Error("nothing was restored");
    expect(Math.abs(Date.now() - same.submittedAt.getTime())).toBeLessThan(60_000);
    request.chunk("e");
    request.complete("done");
    const told: string[] = [];
    for await (const event of same.handle.events({ afterSeq: same.seq })) told.push(short(event));
    expect(told).toEqual(["d", "e"]);
    expect(await same.handle.chunks()).toEqual(["a", "b", "c", "d", "e"]);
    expect(await same.handle.result()).toBe("done");
    expect(storage.kept).toEqual([]);
    expect(request.executions + server.requests.length).toBe(1);
  });

  test("complaint 7: sends again what was not acknowledged, under the same id, and it runs once", async () => {
    const tab = new Tab();
    const { server } = tab;
    server.on("report", () => "once");
    const before = tab.load();
    await before.client.ready();
    server.stall(); // it arrives, and nobody hears of it
    const lost = before.client.call("report", { x: 1 });
    lost.catch(() => {});
    await server.clock.settle();
    before.leave();
    server.resume();
    await server.clock.settle();
    const after = tab.load();
    const [same] = await after.persist.restored();
    expect(await same?.handle.result()).toBe("once");
    expect(server.requests).toHaveLength(1);
    expect(server.received.filter(({ type }) => type === "request")).toMatchObject([
      { id: same?.id, payload: { x: 1 }, resend: true },
    ]);
    expect(tab.storage.kept).toEqual([]);
  });

  test("complaint 20: sends what was made offline, in its order, without being asked to", async () => {
    const tab = new Tab();
    const { server } = tab;
    server.on("report", ({ payload }) => payload);
    const before = tab.load();
    await before.client.ready();
    server.refuse();
    server.drop();
    const lost = [1, 2, 3].map((payload) => before.client.submit("report", payload));
    for (const submitted of lost) submitted.catch(() => {});
    await server.clock.settle();
    expect(tab.storage.kept).toHaveLength(3);
    before.leave();
    await server.clock.settle();

    tab.load(); // offline still
    await server.clock.advance(400);
    expect(tab.storage.kept).toHaveLength(3);
    server.accept();
    await server.clock.advance(500);
    expect(server.requests.map(({ payload, status }) => [payload, status])).toEqual(
      [1, 2, 3].map((payload) => [payload, "completed"]),
    );
    expect(tab.storage.kept).toEqual([]);
  });

  test("while a call waits for its result finds the request, and its end", async () => {
    const tab = new Tab();
    tab.server.on("report");
    const before = tab.load();
    const lost = before.client.call("report");
    lost.catch(() => {});
    const request = await tab.server.next();
    await tab.server.clock.settle();
    before.leave();
    request.complete("meanwhile");
    const [same] = await tab.load().persist.restored();
    expect(await same?.handle.result()).toBe("meanwhile");
  });

  test("again and again keeps what is not over", async () => {
    const tab = new Tab();
    tab.server.on("report");
    let page = tab.load();
    const { id } = await page.client.submit("report");
    for (let times = 0; times < 3; times++) {
      await tab.server.clock.settle();
      page.leave();
      page = tab.load();
      expect((await page.persist.restored()).map((one) => one.id)).toEqual([id]);
    }
    tab.server.request(id).fail("HANDLER_ERROR");
    await tab.server.clock.settle();
    expect(tab.storage.kept).toEqual([]);
    page.leave();
    expect(await tab.load().persist.restored()).toEqual([]);
  });

  test("keeps them when the client is closed, and forgets what is detached", async () => {
    const tab = new Tab();
    tab.server.on("report");
    const { client } = tab.load();
    const [kept, left] = [await client.submit("report", 1), await client.submit("report", 2)];
    for await (const _event of kept) break; // not followed now, and still wanted
    left.detach();
    await client.close();
    expect(tab.storage.kept).toMatchObject([{ id: kept.id }]);
  });
});

describe("what is kept", () => {
  test("is the message only until it is acknowledged, and quick requests leave nothing", async () => {
    const tab = new Tab();
    tab.server.on("report").on("echo", ({ payload }) => payload, { durable: false });
    const { client } = tab.load();
    await client.ready();
    tab.server.stall();
    const submitted = client.submit("report", "secret");
    expect(JSON.stringify(tab.storage.kept)).toContain("secret");
    await tab.server.clock.settle();
    tab.server.resume();
    tab.server.drop();
    await tab.server.clock.advance(500);
    await submitted;
    expect(tab.storage.kept).toHaveLength(1);
    expect(JSON.stringify(tab.storage.kept)).not.toContain("secret");
    await client.call("echo", 1);
    await expect(client.call("nothing")).rejects.toThrow();
    expect(tab.storage.kept).toHaveLength(1);
  });

  test("is not used by another user, and is there when the first one comes back", async () => {
    const tab = new Tab();
    tab.server.on("report");
    const alice = tab.load();
    const { id } = await alice.client.submit("report");
    alice.leave();
    const bob = tab.load({ token: "bob" });
    expect(await bob.persist.restored()).toEqual([]);
    const sent = tab.server.received.length;
    await bob.client.close();
    expect(tab.server.received).toHaveLength(sent);
    expect((await tab.load().persist.restored()).map((one) => one.id)).toEqual([id]);
  });

  test("of nobody known is used only where the application says who it is", async () => {
    for (const owner of [undefined, "alice@example.org"]) {
      const tab = new Tab();
      tab.server.on("report", () => 1);
      tab.server.refuse();
      const options = owner === undefined ? {} : { owner };
      const before = tab.load({}, options);
      before.client.submit("report").catch(() => {});
      await tab.server.clock.settle();
      before.leave();
      tab.server.accept();
      const restored = await tab.load({}, options).persist.restored();
      expect(restored).toHaveLength(owner === undefined ? 0 : 1);
      await Promise.all(restored.map(({ handle }) => handle.result()));
      expect(tab.server.requests).toHaveLength(restored.length);
    }
  });

  test("of another owner, version or age is left alone, and nonsense does no harm", async () => {
    const tab = new Tab();
    tab.server.on("report");
    const page = tab.load({}, { owner: "a" });
    await page.client.submit("report");
    page.leave();
    const [[key = "", text = ""] = []] = [...tab.storage.items];
    const entry = JSON.parse(text);
    const put = (name: string, value: unknown) =>
      tab.storage.items.set(`${key}${name}`, JSON.stringify(value));
    put("1", { ...entry, version: 2 });
    put("2", { ...entry, id: 7 });
    put("3", { ...entry, seq: -1 });
    put("4", null);
    put("5", { ...entry, id: "..", seq: 0 });
    put("6", { ...entry, id: "old", submittedAt: Date.now() - 8 * 86_400_000 });
    tab.storage.items.set(`${key}7`, "{");
    expect(await tab.load({}, { owner: "b" }).persist.restored()).toEqual([]);
    const restored = await tab.load({}, { owner: "a" }).persist.restored();
    expect(restored.map(({ id }) => id)).toEqual([entry.id]);
    expect(tab.warnings).toEqual(["request .. of an earlier page cannot be picked up"]);
  });

  test("is bounded, and who is over is told", async () => {
    const tab = new Tab();
    tab.server.on("report");
    const { client } = tab.load({}, { maxRequests: 2, maxBytes: 5_000 });
    await client.submit("report", 1);
    await client.submit("report", "x".repeat(6_000));
    await client.submit("report", 2);
    await client.submit("report", 3);
    expect(tab.storage.kept).toHaveLength(2);
    expect(tab.warnings).toHaveLength(1);
  });

  test("is gone on the server: the handle says so, and it is forgotten", async () => {
    const tab = new Tab();
    tab.server.on("report");
    const before = tab.load();
    await before.client.submit("report");
    before.leave();
    tab.server.requests.splice(0);
    const [same] = await tab.load().persist.restored();
    await expect(same?.handle.result()).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(tab.storage.kept).toEqual([]);
  });
});

test("a slow store gives what earlier pages left, and nothing of this one", async () => {
  const tab = new Tab();
  tab.server.on("report").on("echo", ({ payload }) => payload, { durable: false });
  const before = tab.load();
  const { id } = await before.client.submit("report");
  before.leave();
  const store = sessionStore(tab.storage);
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const slow = {
    ...store,
    load: async () => {
      const all = await opened.then(() => store.load());
      return [...all, ...(await store.load())];
    },
  };
  const { client, persist } = tab.load({}, { store: slow });
  const mine = await client.submit("report", "this page's");
  await client.call("echo", 1);
  open();
  const restored = await persist.restored();
  expect(new Set(restored.map((one) => one.id))).toEqual(new Set([id]));
  expect(tab.warnings).toEqual([]);
  mine.detach();
});

describe("where nothing can be stored", () => {
  test("in a private window, the client works, and one warning tells", async () => {
    const tab = new Tab();
    tab.server.on("report", () => 1);
    tab.storage.isForbidden = true;
    const { client, persist } = tab.load();
    expect(await client.call("report")).toBe(1);
    expect(await client.call("report")).toBe(1);
    expect(await persist.restored()).toEqual([]);
    expect(tab.warnings).toEqual(["requests cannot be remembered: a reload will not find them"]);
  });

  test("because it is full, the client works", async () => {
    const tab = new Tab();
    tab.server.on("report", () => 1);
    tab.storage.room = 50;
    const { client } = tab.load();
    expect(await client.call("report")).toBe(1);
    expect(tab.warnings).toHaveLength(1);
  });

  test("because there is no such thing, it is the same", async () => {
    const tab = new Tab();
    tab.server.on("report", () => 1);
    const { client } = tab.load({}, { store: sessionStore() });
    expect(await client.call("report")).toBe(1);
    expect(tab.warnings).toHaveLength(1);
  });
});

test("a persistence is for one client, and what it waited for ends with that", async () => {
  const tab = new Tab();
  tab.server.refuse();
  const { client, persist } = tab.load();
  expect(() => tab.server.connect({ persist })).toThrow(ConfigurationError);
  const waiting = expect(persist.restored()).rejects.toBeInstanceOf(ConnectionClosedError);
  await client.close();
  await waiting;
});
