// SPDX-License-Identifier: Apache-2.0
// One connection for all tabs: the server counts what they cost.
import { describe, expect, test } from "vitest";
import {
  ConflictError,
  NotFoundError,
  type RequestEvent,
  type RequestHandle,
} from "../../src/index.js";
import { refusal } from "../../src/testing/index.js";
import { Line, Tabs } from "./tabs.js";

function short(event: RequestEvent): string {
  if (event.kind === "status") return event.status;
  return event.kind === "chunk" ? `${event.data}` : `${event.percentage}%`;
}

async function all(handle: RequestHandle): Promise<string[]> {
  const told: string[] = [];
  for await (const event of handle) told.push(short(event));
  return told;
}

describe("two tabs", () => {
  test("complaint 25: have one connection, and watching one request is one stream", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const [a, b] = [tabs.open(), tabs.open()];
    const handle = await a.submit("report");
    const told = all(handle);
    const request = await server.next();
    request.progress({ percentage: 10 });
    request.chunk("x");
    await server.clock.settle();
    const later = all(b.attach(handle.id));
    await server.clock.settle();
    expect([server.connectionsOpened, server.connections, server.streams()]).toEqual([1, 1, 1]);
    request.chunk("y");
    request.complete("done");
    expect(await told).toEqual(["queued", "processing", "10%", "x", "y"]);
    expect(await later).toEqual(["queued", "processing", "10%", "x", "y"]);
    expect(await b.attach(handle.id).result()).toBe("done");
    expect(server.streams()).toBe(0);
    expect(server.connectionsOpened).toBe(1);
  });

  test("that submit under one id have one request, and both its result", async () => {
    const tabs = new Tabs();
    tabs.server.on("report");
    const [a, b] = [tabs.open(), tabs.open()];
    const results = [a, b].map((tab) => tab.call("report", 1, { id: "same" }));
    (await tabs.server.next()).complete("one");
    expect(await Promise.all(results)).toEqual(["one", "one"]);
    expect(tabs.server.requests).toHaveLength(1);
  });

  test("that submit different requests under one id are told so, each its own", async () => {
    const tabs = new Tabs();
    tabs.server.on("report");
    const [a, b] = [tabs.open(), tabs.open()];
    const first = a.call("report", 1, { id: "same" });
    await expect(b.call("report", 2, { id: "same" })).rejects.toBeInstanceOf(ConflictError);
    (await tabs.server.next()).complete("one");
    expect(await first).toBe("one");
  });

  test("get each the answers to their own questions", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server
      .on("a")
      .on("b")
      .on("echo", ({ payload }) => payload, { durable: false });
    const [a, b] = [tabs.open(), tabs.open()];
    const handles = await Promise.all([a.submit("a"), b.submit("b")]);
    const lists = [a, b].map(async (tab, index) => {
      const found: string[] = [];
      for await (const { id } of tab.requests({ action: "ab".charAt(index) })) found.push(id);
      return found;
    });
    expect(await Promise.all(lists)).toEqual(handles.map(({ id }) => [id]));
    expect(await Promise.all([a.call("echo", 1), b.call("echo", 2)])).toEqual([1, 2]);
    const other = b.attach(handles[0].id);
    await handles[0].cancel("by a");
    expect(await other.snapshot()).toMatchObject({ error: { details: { reason: "by a" } } });
    await expect(b.attach("nothing").result()).rejects.toBeInstanceOf(NotFoundError);
    await expect(handles[0].result()).rejects.toMatchObject({ code: "CANCELLED" });
    const listing = b.requests({ sub: "other" }).next();
    await expect(listing).rejects.toMatchObject({ code: "FORBIDDEN" });
  });

  test("detach each for itself: the server is told when the last one does", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const [a, b] = [tabs.open(), tabs.open()];
    const handle = await a.submit("report");
    const other = b.attach(handle.id);
    const events = other[Symbol.asyncIterator]();
    await events.next();
    handle.detach();
    await server.clock.settle();
    expect(server.streams()).toBe(1);
    expect(server.received.map(({ type }) => type)).not.toContain("detach");
    other.detach();
    await server.clock.settle();
    expect(server.streams()).toBe(0);
    expect(server.received.filter(({ type }) => type === "detach")).toHaveLength(1);
  });

  test("that are closed detach only their own, and the last one ends the connection", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const [a, b] = [tabs.open(), tabs.open()];
    const [mine, ours] = await Promise.all([a.submit("report", 1), a.submit("report", 2)]);
    const result = b.attach(ours.id).result();
    await server.clock.settle();
    expect(server.streams()).toBe(2);
    await a.close();
    await server.clock.settle();
    expect([server.streams(mine.id), server.streams(ours.id)]).toEqual([0, 1]);
    server.request(ours.id).complete("still");
    expect(await result).toBe("still");
    await b.close();
    await server.clock.settle();
    expect(server.connections).toBe(0);
  });

  test("that one of them is read from the start again does not repeat to the other", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const line = new Line();
    const [a, b] = [tabs.open({}, line), tabs.open()];
    const handle = await a.submit("report");
    const told = all(handle);
    const request = await server.next();
    for (let number = 0; number < 500; number++) request.chunk("x".repeat(100));
    await server.clock.settle();
    let repeated = 0;
    const count = line.deliver.bind(line);
    line.deliver = (receive) => {
      repeated += 1;
      count(receive);
    };
    const again = all(b.attach(handle.id));
    await server.clock.settle();
    expect(repeated).toBe(0);
    request.complete();
    expect((await told).length).toBe(502);
    expect(await again).toEqual(await told);
  });
});

describe("the connection of all", () => {
  test("that is lost is made once, and nothing is lost or twice in any tab", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const clients = [tabs.open(), tabs.open(), tabs.open()];
    const [a] = clients;
    if (a === undefined) throw new Error("no tab");
    const { id } = await a.submit("report");
    const told = clients.map((client) => all(client.attach(id)));
    const request = await server.next();
    request.chunk("1");
    await server.clock.settle();
    server.drop();
    request.chunk("2");
    await server.clock.settle();
    expect(clients.map(({ state }) => state.state)).toEqual(Array(3).fill("reconnecting"));
    await server.clock.advance(500);
    expect([server.connectionsOpened, server.connections, server.streams()]).toEqual([2, 1, 1]);
    request.chunk("3");
    request.complete();
    for (const one of told) expect(await one).toEqual(["queued", "processing", "1", "2", "3"]);
  });

  test("has a request that was not answered sent again, and it is run once", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report", () => "once");
    const [a, b] = [tabs.open(), tabs.open()];
    await Promise.all([a.ready(), b.ready()]);
    const result = a.call("report");
    await null;
    server.drop();
    await server.clock.advance(500);
    expect(await result).toBe("once");
    expect(server.requests).toHaveLength(1);
  });

  test("moves when the server goes away, and no tab sees an error", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const [a, b] = [tabs.open(), tabs.open()];
    const { id } = await a.submit("report");
    const results = [a, b].map((client) => client.attach(id).result());
    await server.clock.settle();
    server.goaway("restart", 20);
    await server.clock.advance(20);
    expect(server.connections).toBe(1);
    expect([a, b].map(({ state }) => state)).toEqual(
      Array(2).fill({ state: "ready", resumed: true }),
    );
    server.request(id).complete("moved");
    expect(await Promise.all(results)).toEqual(["moved", "moved"]);
    expect(server.connectionsOpened).toBe(2);
  });

  test("that is half open is left, whoever notices", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const [a, b] = [tabs.open(), tabs.open()];
    const { id } = await a.submit("report");
    const result = b.attach(id).result();
    await server.clock.settle();
    server.stall();
    server.request(id).complete("meanwhile");
    await server.clock.advance(35_000);
    server.resume();
    await server.clock.advance(20_000);
    expect(await result).toBe("meanwhile");
    expect(server.connections).toBe(1);
  });

  test("lives for an hour of pings, with tabs that come and go", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    const first = tabs.open();
    await first.ready();
    for (let minute = 0; minute < 60; minute++) {
      const other = tabs.open();
      await other.ready();
      await server.clock.advance(60_000);
      await other.close();
    }
    expect([server.connectionsOpened, server.connections]).toEqual([1, 1]);
  });

  test("is pinged once, however many tabs there are, where clients ping", async () => {
    const tabs = new Tabs({ heartbeat: { from: "client" } });
    const { server } = tabs;
    const clients = [tabs.open(), tabs.open(), tabs.open()];
    await Promise.all(clients.map((client) => client.ready()));
    await server.clock.advance(250_000);
    const pings = server.received.filter(({ type }) => type === "ping");
    expect(pings).toHaveLength(10);
    expect(server.connectionsOpened).toBe(1);
  });

  test("keeps to the server's limits over all tabs", async () => {
    const tabs = new Tabs({ limits: { message_burst: 20, messages_per_minute: 600 } });
    const { server } = tabs;
    server.on("echo", ({ payload }) => payload, { durable: false });
    const clients = [tabs.open(), tabs.open(), tabs.open()];
    await Promise.all(clients.map((client) => client.ready()));
    const before = server.received.length;
    const calls = clients.flatMap((client) =>
      [...Array(10).keys()].map((n) => client.call("echo", n)),
    );
    await server.clock.settle();
    expect(server.received.length - before).toBeLessThanOrEqual(20);
    await server.clock.advance(5_000);
    expect((await Promise.all(calls)).length).toBe(30);
  });

  test("asks again where tabs together had too much in flight", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report", refusal("RESOURCE_EXHAUSTED", "too many", { retryAfterMs: 300 }));
    const result = tabs.open().call("report");
    await server.clock.settle();
    server.on("report", () => "when there was room");
    await server.clock.advance(300);
    expect(await result).toBe("when there was room");
  });

  test("that was refused for one message that is too big does not end others' requests", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const [a, b] = [tabs.open(), tabs.open()];
    await Promise.all([a.ready(), b.ready()]);
    server.stall();
    const innocent = a.call("report", "small");
    await server.clock.settle();
    const culprit = b.call("report", "big");
    await server.clock.settle();
    server.resume();
    server.drop(1009);
    await expect(culprit).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
    await server.clock.advance(1_000);
    (await server.next()).complete("fine");
    expect(await innocent).toBe("fine");
  });
});

describe("owners", () => {
  const authenticate = (token = "") => {
    const [principal = "", use] = token.split("/");
    return use === "bad" ? 4401 : { principal };
  };

  test("never share a connection, and see nothing of each other", async () => {
    const tabs = new Tabs({ authenticate });
    const { server } = tabs;
    server.on("report");
    const [alice, bob, again] = ["alice", "bob", "alice/2"].map((token) => tabs.open({ token }));
    if (!alice || !bob || !again) throw new Error("no tab");
    const { id } = await alice.submit("report");
    await Promise.all([bob.ready(), again.ready()]);
    expect(server.connections).toBe(2);
    await expect(bob.attach(id).result()).rejects.toBeInstanceOf(NotFoundError);
    const result = again.attach(id).result();
    server.request(id).complete("alice's");
    expect(await result).toBe("alice's");
  });

  test("whose token is refused end alone", async () => {
    const tabs = new Tabs({ authenticate });
    const { server } = tabs;
    const alice = tabs.open({ token: "alice" });
    await alice.ready();
    const bad = tabs.open({ token: "alice/bad" });
    const refused = expect(bad.ready()).rejects.toMatchObject({ code: 4401 });
    await server.clock.advance(1_000);
    await refused;
    expect(alice.state.state).toBe("ready");
  });

  test("refresh once for all tabs, in time", async () => {
    const tabs = new Tabs({ authenticate: () => ({ lifeMs: 100_000 }) });
    const { server } = tabs;
    let asked = 0;
    const token = () => `token ${++asked}`;
    const clients = [tabs.open({ token }), tabs.open({ token }), tabs.open({ token })];
    await Promise.all(clients.map((client) => client.ready()));
    const before = server.received.filter(({ type }) => type === "refresh").length;
    await server.clock.advance(800_000);
    const refreshes = server.received.filter(({ type }) => type === "refresh").length - before;
    expect(refreshes).toBe(10);
    expect(server.connectionsOpened).toBe(1);
  });
});

describe("a tab that is frozen", () => {
  test("costs bounded memory, and reads on where it was", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const line = new Line();
    const [awake, frozen] = [tabs.open(), tabs.open({}, line)];
    const { id } = await awake.submit("report");
    const told = [awake, frozen].map((client) => client.attach(id).chunks());
    const request = await server.next();
    await server.clock.settle();
    line.isAwake = false;
    for (let number = 0; number < 3_000; number++) request.chunk(`${number}${"x".repeat(1_000)}`);
    await server.clock.settle();
    let waiting = 0;
    const count = line.deliver.bind(line);
    line.deliver = (receive) => {
      waiting += 1;
      count(receive);
    };
    request.chunk("last");
    request.complete();
    await server.clock.settle();
    expect(waiting).toBe(0); // what it is to get waits on the server
    line.wake();
    const [one, other] = await Promise.all(told);
    expect(one).toHaveLength(3_001);
    expect(other).toEqual(one);
    expect(server.connectionsOpened).toBe(1);
  });

  test("for long is given up, and comes back when it wakes", async () => {
    const tabs = new Tabs();
    const { server } = tabs;
    server.on("report");
    const line = new Line();
    const [awake, frozen] = [tabs.open(), tabs.open({ clock: server.clock }, line)];
    await Promise.all([awake.ready(), frozen.ready()]);
    const handle = await frozen.submit("report");
    line.isAwake = false;
    await server.clock.advance(30_000);
    expect(server.streams(handle.id)).toBe(1);
    await server.clock.advance(60_000);
    expect(server.streams(handle.id)).toBe(0);
    expect(awake.state.state).toBe("ready");
    server.request(handle.id).complete("slept through");
    line.wake();
    await server.clock.advance(30_000);
    expect(await handle.result()).toBe("slept through");
  });
});

test("a hub that moves takes nobody's requests along", async () => {
  const tabs = new Tabs();
  const { server } = tabs;
  server.on("report");
  const [a, b] = [tabs.open(), tabs.open()];
  const { id } = await a.submit("report");
  const told = [a, b].map((client) => all(client.attach(id)));
  const request = await server.next();
  request.chunk("1");
  await server.clock.settle();
  const { hub } = tabs;
  tabs.newHub();
  hub.close();
  request.chunk("2");
  await server.clock.advance(500);
  request.complete();
  for (const one of told) expect(await one).toEqual(["queued", "processing", "1", "2"]);
  expect(server.connections).toBe(1);
});
