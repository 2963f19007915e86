// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import {
  type Client,
  type ClientOptions,
  type ClientState,
  ConflictError,
  ForbiddenError,
  HandlerError,
  InternalError,
  NotFoundError,
  RequestCancelledError,
  type RequestEvent,
  type RequestHandle,
  RequestTimeoutError,
  UnknownActionError,
} from "../../src/index.js";
import {
  type InMemoryRequest,
  InMemoryServer,
  type InMemoryServerOptions,
  refusal,
  TestClock,
} from "../../src/testing/index.js";
import { cleanups } from "../cleanup.js";

function started(
  options: InMemoryServerOptions = {},
  of: ClientOptions = {},
): { server: InMemoryServer; client: Client } {
  const server = new InMemoryServer(options);
  cleanups.push(() => server.stop());
  const client = server.connect(of);
  cleanups.push(() => client.close());
  return { server, client };
}

function short(event: RequestEvent): string {
  if (event.kind === "status") return `${event.status} ${event.attempt}`;
  if (event.kind === "chunk") return `chunk ${event.data}`;
  return `progress ${event.percentage}`;
}

async function all(handle: RequestHandle): Promise<string[]> {
  const told: string[] = [];
  for await (const event of handle) told.push(short(event));
  return told;
}

describe("a script", () => {
  test("reports progress and chunks, and returns the result", async () => {
    const { server, client } = started();
    server.on("report", (request: InMemoryRequest<{ rows: number }>) => {
      request.progress({ percentage: 50, message: "half" });
      request.chunk("a");
      request.chunk("b");
      return request.payload.rows;
    });
    const handle = await client.submit("report", { rows: 7 });
    expect(await all(handle)).toEqual([
      "queued 0",
      "processing 1",
      "progress 50",
      "chunk a",
      "chunk b",
    ]);
    expect(await handle.result()).toBe(7);
    expect(server.request(handle.id).executions).toBe(1);
  });

  test("that returns nothing completes with null", async () => {
    const { server, client } = started();
    server.on("report", () => {});
    expect(await client.call("report")).toBeNull();
  });

  test("that throws fails with what it threw", async () => {
    const { server, client } = started();
    server.on("mine", () => {
      throw new HandlerError("HANDLER_ERROR", "no rows", { details: { code: "EMPTY" } });
    });
    server.on("accident", () => {
      throw new Error("oops");
    });
    await expect(client.call("mine")).rejects.toMatchObject({
      code: "HANDLER_ERROR",
      message: "no rows",
      details: { code: "EMPTY" },
      origin: "server",
    });
    await expect(client.call("accident")).rejects.toBeInstanceOf(InternalError);
  });

  test("may wait for time, which passes when the test says so", async () => {
    const { server, client } = started();
    server.on("report", async () => {
      await new Promise<void>((resolve) => server.clock.setTimeout(resolve, 3_600_000));
      return "an hour later";
    });
    const result = client.call("report");
    await server.clock.advance(3_600_000);
    expect(await result).toBe("an hour later");
    expect(server.connections).toBe(1);
  });

  test("that reports what no server may send is told so", async () => {
    const { server, client } = started();
    server.on("report");
    const handle = client.attach((await client.submit("report")).id);
    const request = await server.next("report");
    expect(() => request.progress({ percentage: 400 })).toThrow(/no server may send.*percentage/);
    expect(() => request.fail("HANDLER_ERROR", "x", { retryAfterMs: -1 })).toThrow(TypeError);
    request.complete("fine");
    expect(await handle.result()).toBe("fine");
    expect(() => request.complete("twice")).toThrow(/has ended/);
  });

  test("begins again after a failed attempt, and drops the chunks that do not stand", async () => {
    const { server, client } = started();
    server.on("report", (request) => {
      if (request.attempt === 2) return request.chunk("c");
      request.chunk("a", { checkpoint: true });
      request.chunk("b");
      request.retry(1_000);
      return undefined;
    });
    const handle = await client.submit("report");
    const told = all(handle);
    const chunks = handle.chunks();
    await server.clock.advance(1_000);
    expect(await told).toEqual([
      "queued 0",
      "processing 1",
      "chunk a",
      "chunk b",
      "retrying 1",
      "processing 2",
      "chunk c",
    ]);
    expect(await chunks).toEqual(["a", "c"]);
    expect(server.request(handle.id).executions).toBe(2);
  });
});

describe("without a script", () => {
  test("a request waits for the test, which goes on with it", async () => {
    const { server, client } = started();
    server.on("report");
    const submitted = client.submit<string>("report", { x: 1 });
    const request = await server.next<{ x: number }>("report");
    const handle = await submitted;
    expect(request.status).toBe("queued");
    expect(request.payload.x).toBe(1);
    request.chunk("a");
    request.complete("done");
    expect(await all(handle)).toEqual(["queued 0", "processing 1", "chunk a"]);
    expect(await handle.result()).toBe("done");
  });

  test("requests are taken in their order, by action or whatever comes", async () => {
    const { server, client } = started();
    server.on("a").on("b");
    const first = server.next("b");
    await Promise.all([client.submit("a", 1), client.submit("b", 2), client.submit("b", 3)]);
    expect((await first).payload).toBe(2);
    expect((await server.next("b")).payload).toBe(3);
    expect((await server.next()).payload).toBe(1);
    expect(server.requests).toHaveLength(3);
  });
});

describe("refused", () => {
  test("is what no script is there for, or is to be refused", async () => {
    const { server, client } = started();
    server.on("secret", refusal("FORBIDDEN", "not yours"));
    await expect(client.call("nothing")).rejects.toBeInstanceOf(UnknownActionError);
    await expect(client.call("secret")).rejects.toBeInstanceOf(ForbiddenError);
    expect(server.requests).toEqual([]);
  });

  test("is an id that stands for another request", async () => {
    const { server, client } = started();
    server.on("report");
    const other = server.connect();
    cleanups.push(() => other.close());
    await client.submit("report", 1, { id: "a" });
    await expect(other.submit("report", 2, { id: "a" })).rejects.toBeInstanceOf(ConflictError);
    const same = await other.submit("report", 1, { id: "a" });
    server.request("a").complete("one");
    expect(await same.result()).toBe("one");
    expect(server.requests).toHaveLength(1);
  });

  test("is a token that stands for nobody", async () => {
    const tokens = ["bad", "bad"];
    const { server, client } = started(
      { authenticate: (token) => (token === "bad" ? 4401 : {}) },
      { token: () => tokens.pop() ?? "good" },
    );
    server.on("report", () => 1);
    const refused = expect(client.call("report")).rejects.toMatchObject({ code: 4401 });
    await server.clock.advance(500);
    await refused;
    expect(server.connectionsOpened).toBe(2);
  });

  test("is all of another owner's", async () => {
    const { server, client } = started({ authenticate: (token = "") => ({ principal: token }) });
    server.on("report");
    const { id } = await client.submit("report");
    const other = server.connect({ token: "other" });
    cleanups.push(() => other.close());
    await expect(other.attach(id).result()).rejects.toBeInstanceOf(NotFoundError);
    await other.submit("report", "mine", { id });
    expect(server.requests).toHaveLength(2);
  });
});

describe("quick actions", () => {
  test("are answered at once and not kept", async () => {
    const { server, client } = started();
    server.on("echo", ({ payload }) => payload, { durable: false });
    server.on("no", () => Promise.reject(new HandlerError("HANDLER_ERROR", "no")), {
      durable: false,
    });
    const handle = await client.submit("echo", 5);
    expect(await all(handle)).toEqual([]);
    expect(await handle.result()).toBe(5);
    await expect(client.call("no")).rejects.toMatchObject({ executed: true });
    expect(server.requests).toEqual([]);
    expect(server.clock.pending).toBe(3); // ping and expiry of the server, and the one of a client
  });

  test("that take longer than the window are stored", async () => {
    const { server, client } = started();
    let answer = (_text: string): void => {};
    const wait = new Promise<string>((resolve) => {
      answer = resolve;
    });
    server.on("slow", () => wait, { durable: false });
    const submitted = client.submit("slow");
    await server.clock.advance(2_000);
    const handle = await submitted;
    answer("late");
    expect(await all(handle)).toEqual(["queued 0", "processing 1"]);
    expect(await handle.result()).toBe("late");
  });
});

describe("the connection", () => {
  test("that is dropped comes back, and nothing is lost or twice", async () => {
    const { server, client } = started();
    server.on("report");
    const handle = await client.submit("report");
    const told = all(handle);
    const request = await server.next();
    request.chunk("a");
    await server.clock.settle();
    server.drop();
    request.chunk("b");
    await server.clock.advance(499);
    expect(server.connections).toBe(0);
    await server.clock.advance(1);
    expect(server.connections).toBe(1);
    request.chunk("c");
    request.complete();
    expect(await told).toEqual(["queued 0", "processing 1", "chunk a", "chunk b", "chunk c"]);
    expect(server.streams()).toBe(0);
  });

  test("that is lost before the answer has the request sent again, and run once", async () => {
    const { server, client } = started();
    server.on("report", () => "once");
    await client.ready();
    const result = client.call("report");
    server.drop(); // on its way to the server
    await server.clock.advance(500);
    expect(await result).toBe("once");
    expect(server.received.filter(({ type }) => type === "request")).toMatchObject([
      { resend: true },
    ]);
    expect(server.requests).toHaveLength(1);
  });

  test("cannot be made while it is refused, with waits that double", async () => {
    const { server, client } = started();
    const waits: number[] = [];
    client.onState((state: ClientState) => {
      if (state.state === "reconnecting") waits.push(state.retryInMs);
    });
    server.refuse();
    await server.clock.advance(3_500);
    expect(waits).toEqual([500, 1_000, 2_000, 4_000]);
    server.accept();
    await server.clock.advance(4_000);
    expect(client.state).toEqual({ state: "ready", resumed: false });
  });

  test("is refused with a close code that says stop", async () => {
    const { server, client } = started();
    server.refuse(4403);
    await expect(client.ready()).rejects.toMatchObject({ code: 4403 });
  });

  test("that goes away is moved, and no error is seen", async () => {
    const { server, client } = started();
    server.on("report");
    const result = client.call("report");
    const request = await server.next();
    server.goaway("restart", 50);
    await server.clock.settle();
    expect(client.state).toEqual({ state: "draining", reason: "restart" });
    await server.clock.advance(50);
    request.complete("moved");
    expect(await result).toBe("moved");
    expect(server.connectionsOpened).toBe(2);
    expect(server.connections).toBe(1);
  });

  test("that hears nothing is left and made anew", async () => {
    const { server, client } = started();
    server.on("report");
    const result = client.call("report");
    const request = await server.next();
    server.stall();
    request.complete("while it was half open");
    await server.clock.advance(35_000);
    expect(client.state.state).not.toBe("ready");
    server.resume();
    await server.clock.advance(40_000);
    expect(await result).toBe("while it was half open");
  });

  test("lives for a day of pings, and its token is refreshed", async () => {
    const reasons: string[] = [];
    const { server, client } = started(
      {},
      {
        token: (reason) => {
          reasons.push(reason);
          return "token";
        },
      },
    );
    await client.ready();
    await server.clock.advance(24 * 3_600_000);
    expect(server.connectionsOpened).toBe(1);
    expect(reasons.filter((reason) => reason === "refresh")).toHaveLength(30);
  });

  test("is closed when its token has expired, and comes back with another", async () => {
    const identity = { lifeMs: 60_000 };
    const { server, client } = started({ authenticate: () => identity }, { token: "fixed" });
    await client.ready();
    await server.clock.advance(60_000);
    expect(server.connections).toBe(0);
    await server.clock.advance(500);
    expect(server.connections).toBe(1);
    expect(server.connectionsOpened).toBe(2);
  });

  test("takes a refresh of the same owner only", async () => {
    const tokens = ["a", "b", "a"];
    const warnings: string[] = [];
    const { server, client } = started(
      { authenticate: (token = "") => ({ principal: token, lifeMs: 100_000 }) },
      { token: () => tokens.shift() ?? "a", onWarning: (text) => warnings.push(text) },
    );
    await client.ready();
    await server.clock.advance(96_000);
    expect(warnings).toEqual(["a refresh of the token was refused: UNAUTHORIZED"]);
    await server.clock.advance(100_000);
    expect(server.connectionsOpened).toBe(1);
  });
});

describe("asked", () => {
  test("to cancel what nobody runs, it ends it at once", async () => {
    const { server, client } = started();
    server.on("report");
    const handle = await client.submit("report");
    await handle.cancel("enough");
    await expect(handle.result()).rejects.toMatchObject({ details: { reason: "enough" } });
    expect(await handle.snapshot()).toMatchObject({
      request: { status: "cancelled", cancelRequested: true },
      error: { code: "CANCELLED" },
    });
  });

  test("to cancel what runs, it tells the script, and waits no longer than its grace", async () => {
    const { server, client } = started();
    server.on("kind", ({ signal }) => {
      return new Promise((_resolve, reject) => signal.addEventListener("abort", reject));
    });
    server.on("deaf", () => new Promise(() => {}));
    server.on("done", ({ signal }) => {
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve("still")));
    });
    const [kind, deaf, done] = await Promise.all(
      ["kind", "deaf", "done"].map((action) => client.submit(action)),
    );
    for (const handle of [kind, deaf, done]) await handle?.cancel();
    await expect(kind?.result()).rejects.toBeInstanceOf(RequestCancelledError);
    expect(await done?.result()).toBe("still");
    expect(deaf?.isFinished).toBe(false);
    await server.clock.advance(10_000);
    await expect(deaf?.result()).rejects.toBeInstanceOf(RequestCancelledError);
  });

  test("for a deadline, it ends what is late", async () => {
    const { server, client } = started();
    server.on("report");
    const result = client.call("report", 1, { deadlineMs: 5_000 });
    await server.clock.settle();
    const late = expect(result).rejects.toBeInstanceOf(RequestTimeoutError);
    await server.clock.advance(5_000);
    await late;
  });

  test("for a delay, it starts later", async () => {
    const { server, client } = started();
    server.on("report", () => server.clock.now());
    const handle = await client.submit("report", 1, { delayMs: 700 });
    await server.clock.advance(700);
    expect(await handle.result()).toBe(700);
  });

  test("for lists, it gives pages, the newest first", async () => {
    const { server, client } = started();
    server.on("a").on("b", () => 1);
    const ids: string[] = [];
    for (const action of ["a", "b", "a"]) ids.push((await client.submit(action)).id);
    await server.clock.settle();
    const listed = async (filters: object) => {
      const found: string[] = [];
      for await (const { id } of client.requests({ pageSize: 1, ...filters })) found.push(id);
      return found;
    };
    expect(await listed({})).toEqual([...ids].reverse());
    expect(await listed({ action: "a" })).toEqual([ids[2], ids[0]]);
    expect(await listed({ status: "completed" })).toEqual([ids[1]]);
    await expect(listed({ sub: "other" })).rejects.toBeInstanceOf(ForbiddenError);
  });

  test("to say something to all, it does", async () => {
    const told: unknown[] = [];
    const { server, client } = started({}, { onAnnouncement: (word) => told.push(word) });
    await client.ready();
    server.announce("maintenance at noon", { at: 12 });
    await server.clock.settle();
    expect(told).toMatchObject([{ message: "maintenance at noon", details: { at: 12 } }]);
  });
});

test("two servers may share a clock", async () => {
  const clock = new TestClock();
  const { server, client } = started({ clock });
  const { server: other } = started({ clock });
  expect(other.clock).toBe(server.clock);
  await client.ready();
});

test("what is sent and got is of the protocol: a socket that says nonsense is told so", async () => {
  const server = new InMemoryServer();
  cleanups.push(() => server.stop());
  const told: string[] = [];
  const socket = new server.WebSocket(server.url, ["longcall.v1"]);
  socket.onmessage = ({ data }) => told.push(JSON.parse(data));
  socket.onopen = () => {
    for (const message of [
      { type: "hello" },
      { type: "attach", request_id: 5 },
      { type: "sing" },
    ]) {
      socket.send(JSON.stringify(message));
    }
    socket.send("no JSON");
  };
  await server.clock.settle();
  expect(told.slice(1)).toMatchObject([
    { reply_to: "attach", error: { code: "VALIDATION_ERROR", details: {} } },
    { reply_to: "sing", error: { code: "UNSUPPORTED_TYPE" } },
    { error: { code: "VALIDATION_ERROR" } },
  ]);
  expect(server.received).toEqual([{ type: "hello" }]);
});

test("a stopped server leaves no timer", async () => {
  const { server, client } = started();
  server.on("report");
  await client.submit("report", 1, { deadlineMs: 1_000 });
  server.stop();
  await client.close();
  expect(server.clock.pending).toBe(0);
  await expect(client.call("report")).rejects.toThrow();
});
