// SPDX-License-Identifier: Apache-2.0
// Tabs without a SharedWorker: one of them has the connection, and another takes over.
import { describe, expect, test } from "vitest";
import { type Client, connect, type RequestEvent, type RequestHandle } from "../../src/index.js";
import { Election, type Locks, type TabsPlatform } from "../../src/shared/election.js";
import type { Channel } from "../../src/shared/port.js";
import { sharedSocket } from "../../src/shared/socket.js";
import { InMemoryServer } from "../../src/testing/index.js";
import { cleanups } from "../cleanup.js";

interface Held {
  readonly owner: Process;
  reject(error: Error): void;
}

/** Web Locks, with what a browser does when a page is gone. */
class Browser {
  #holder: Held | undefined;
  readonly #queue: { owner: Process; grant: () => void }[] = [];
  readonly channels = new Set<FakeChannel>();

  locks(owner: Process): Locks {
    return {
      request: (_name, { steal, signal }, callback) =>
        new Promise((resolve, reject) => {
          const grant = () => {
            const held = { owner, reject };
            this.#holder = held;
            owner.run(() => {
              void callback().then((value) => {
                resolve(value);
                if (this.#holder === held) this.#release();
              });
            });
          };
          if (steal) {
            const stolen = this.#holder;
            grant();
            stolen?.owner.run(() => stolen.reject(new Error("stolen")));
            return;
          }
          const waiting = { owner, grant };
          this.#queue.push(waiting);
          signal?.addEventListener("abort", () => {
            const place = this.#queue.indexOf(waiting);
            if (place >= 0) this.#queue.splice(place, 1);
            reject(new Error("aborted"));
          });
          if (this.#holder === undefined) this.#release();
        }),
    };
  }

  /** The page of a tab is gone, without a word. */
  kill(owner: Process): void {
    owner.isDead = true;
    for (const channel of [...this.channels]) if (channel.owner === owner) channel.close();
    const left = this.#queue.filter((waiting) => waiting.owner !== owner);
    this.#queue.splice(0, this.#queue.length, ...left);
    if (this.#holder?.owner === owner) this.#release();
  }

  #release(): void {
    this.#holder = undefined;
    this.#queue.shift()?.grant();
  }
}

/** Where the code of a tab runs: not at all while it is frozen, or dead. */
class Process {
  isFrozen = false;
  isDead = false;
  #waiting: (() => void)[] = [];

  run(task: () => void): void {
    void Promise.resolve().then(() => {
      if (this.isDead) return;
      if (this.isFrozen) this.#waiting.push(task);
      else task();
    });
  }

  thaw(): void {
    this.isFrozen = false;
    for (const task of this.#waiting.splice(0)) task();
  }
}

class FakeChannel implements Channel {
  onmessage: Channel["onmessage"] = null;

  constructor(
    readonly name: string,
    readonly owner: Process,
    readonly browser: Browser,
  ) {
    browser.channels.add(this);
  }

  postMessage(data: unknown): void {
    for (const channel of this.browser.channels) {
      if (channel === this || channel.name !== this.name) continue;
      channel.owner.run(() => channel.onmessage?.({ data }));
    }
  }

  close(): void {
    this.browser.channels.delete(this);
  }
}

interface Tab {
  readonly client: Client;
  readonly election: Election;
  readonly process: Process;
}

class World {
  readonly server = new InMemoryServer();
  readonly browser = new Browser();

  constructor() {
    cleanups.push(() => this.server.stop());
  }

  open(): Tab {
    const { server, browser } = this;
    const process = new Process();
    const platform: TabsPlatform = {
      locks: browser.locks(process),
      channel: (name) => new FakeChannel(name, process, browser),
    };
    const election = new Election(platform, {
      webSocket: server.WebSocket,
      clock: server.clock,
      random: () => 1,
    });
    const client = connect(server.url, {
      ...server.clientOptions,
      webSocket: sharedSocket((onLost) =>
        process.isDead ? new Promise(() => {}) : election.dial(onLost),
      ),
    });
    cleanups.push(async () => {
      await client.close();
      election.close();
    });
    return { client, election, process };
  }

  /** The tab is gone, and with it its connections to the server. */
  kill({ process, election }: Tab): void {
    if (election.isLeader) this.server.drop(); // the browser closes the sockets of the page
    this.browser.kill(process);
  }
}

async function all(handle: RequestHandle): Promise<string[]> {
  const told: string[] = [];
  for await (const event of handle) told.push(short(event));
  return told;
}

function short(event: RequestEvent): string {
  if (event.kind === "status") return event.status;
  return event.kind === "chunk" ? `${event.data}` : `${event.percentage}%`;
}

describe("tabs without a SharedWorker", () => {
  test("complaint 25: have one connection, in the tab that came first", async () => {
    const world = new World();
    const { server } = world;
    server.on("report");
    const [a, b, c] = [world.open(), world.open(), world.open()];
    await Promise.all([a, b, c].map(({ client }) => client.ready()));
    expect(server.clock.now()).toBe(0);
    expect([a, b, c].map(({ election }) => election.isLeader)).toEqual([true, false, false]);
    const { id } = await b.client.submit("report");
    const results = [a, b, c].map(({ client }) => client.attach(id).result());
    await server.clock.settle();
    expect([server.connectionsOpened, server.streams(id)]).toEqual([1, 1]);
    server.request(id).complete("for all");
    expect(await Promise.all(results)).toEqual(["for all", "for all", "for all"]);
  });

  test("lose nothing when the tab that leads is closed: another one takes over", async () => {
    const world = new World();
    const { server } = world;
    server.on("report");
    const [a, b, c] = [world.open(), world.open(), world.open()];
    await Promise.all([a, b, c].map(({ client }) => client.ready()));
    const { id } = await b.client.submit("report");
    const told = [b, c].map(({ client }) => all(client.attach(id)));
    const request = server.request(id);
    request.chunk("1");
    await server.clock.settle();
    world.kill(a);
    request.chunk("2");
    const unsent = c.client.call("report", "made meanwhile");
    await server.clock.advance(500);
    expect([b, c].map(({ election }) => election.isLeader)).toEqual([true, false]);
    expect([server.connectionsOpened, server.connections, server.streams(id)]).toEqual([2, 1, 1]);
    request.chunk("3");
    request.complete();
    for (const one of told) expect(await one).toEqual(["queued", "processing", "1", "2", "3"]);
    server.requests.at(-1)?.complete("and run once");
    expect(await unsent).toBe("and run once");
    expect(server.requests).toHaveLength(2);
  });

  test("have the next one lead when a client is closed", async () => {
    const world = new World();
    const { server } = world;
    const [a, b] = [world.open(), world.open()];
    await Promise.all([a.client.ready(), b.client.ready()]);
    await a.client.close();
    a.election.close();
    await server.clock.advance(500);
    expect(b.election.isLeader).toBe(true);
    expect(b.client.state.state).toBe("ready");
    expect(server.connections).toBe(1);
  });

  test("take the lead from a tab that is frozen, which follows when it wakes", async () => {
    const world = new World();
    const { server } = world;
    server.on("report");
    const [a, b] = [world.open(), world.open()];
    await Promise.all([a.client.ready(), b.client.ready()]);
    const mine = await a.client.submit("report", "a's");
    const handle = await b.client.submit("report", "b's");
    a.process.isFrozen = true;
    server.drop(); // the server had no answer of it
    server.request(handle.id).chunk("1");
    const fresh = world.open();
    const told = all(handle);
    const ready = fresh.client.ready();
    await server.clock.advance(60_000);
    await ready;
    expect([b, fresh].filter(({ election }) => election.isLeader)).toHaveLength(1);
    server.request(handle.id).complete("over");
    server.request(mine.id).complete("too");
    expect(await told).toEqual(["queued", "processing", "1"]);
    a.process.thaw();
    await server.clock.advance(30_000);
    expect(await mine.result()).toBe("too");
    expect([a, b, fresh].filter(({ election }) => election.isLeader)).toHaveLength(1);
    expect(a.election.isLeader).toBe(false);
    expect(server.connections).toBe(1);
  });

  test("that come while nobody has answered do not lead against each other", async () => {
    const world = new World();
    const { server } = world;
    const first = world.open();
    await first.client.ready();
    first.process.isFrozen = true;
    const others = [world.open(), world.open(), world.open()];
    await server.clock.advance(30_000);
    await Promise.all(others.map(({ client }) => client.ready()));
    expect(others.filter(({ election }) => election.isLeader)).toHaveLength(1);
    first.process.thaw();
    await server.clock.advance(30_000);
    expect(first.client.state.state).toBe("ready");
    expect(server.connections).toBe(1);
  });
});
