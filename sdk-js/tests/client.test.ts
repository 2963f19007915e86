// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test, vi } from "vitest";
import {
  type ClientState,
  ConfigurationError,
  ConnectionClosedError,
  connect,
  HandlerError,
  QueueFullError,
  RequestCancelledError,
  UnknownActionError,
  ValidationError,
  WaitTimeoutError,
} from "../src/index.js";
import {
  chunk,
  complete,
  errorInfo,
  failed,
  processing,
  progress,
  refusal,
  snapshotMessage,
  summary,
} from "./protocol/bench.js";
import { connected, TestServer } from "./server.js";

const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("connect", () => {
  test("without a WebSocket it says at once what to write", () => {
    vi.stubGlobal("WebSocket", undefined);
    try {
      expect(() => connect("ws://localhost/v1/connect")).toThrow(ConfigurationError);
      expect(() => connect("ws://localhost/v1/connect")).toThrow(
        'import WebSocket from "ws";\n  const client = connect(url, { token, webSocket: WebSocket });',
      );
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test.each(["http://localhost/", "localhost", "", "ws://a/#b", "ws://"])(
    "an address of no use is told: %s",
    (url) => {
      expect(() => connect(url, { webSocket: class {} as never })).toThrow(ConfigurationError);
    },
  );

  test.each([
    { token: "" },
    { token: 7 as never },
    { maxQueue: 0 },
    { openTimeoutMs: Number.NaN },
    { maxIteratorEvents: "9" as never },
  ])("an option of no use is told: %o", (options) => {
    const WebSocket = vi.fn();
    expect(() => connect("ws://a/", { webSocket: WebSocket as never, ...options })).toThrow(
      ConfigurationError,
    );
    expect(WebSocket).not.toHaveBeenCalled();
  });

  test("a URL may be an object", async () => {
    const server = await TestServer.start();
    const { WebSocket } = await import("ws");
    const client = connect(new URL(server.url), { webSocket: WebSocket, token: "t" });
    await server.welcomed();
    await client.ready();
    await client.close();
  });
});

describe("call", () => {
  // clause: 5.1.1, 5.1.3, 9.1.1
  test("gives the result of a quick request", async () => {
    const { client, peer } = await connected();
    const result = client.call<{ y: number }>("echo", { x: 1 });
    const request = await peer.expect("request");
    expect(request).toEqual({ type: "request", id: request.id, action: "echo", payload: { x: 1 } });
    expect(request.id).toMatch(UUID7);
    peer.send({ type: "response", request_id: request.id, result: { y: 2 } });
    expect(await result).toEqual({ y: 2 });
  });

  // clause: 9.1.1
  test("gives the result of a durable one, after all callbacks were made", async () => {
    const { client, peer } = await connected();
    const told: unknown[] = [];
    const result = client.call("report", undefined, {
      onStatus: ({ status }) => told.push(status),
      onProgress: async ({ percentage }) => {
        await new Promise((resolve) => setImmediate(resolve));
        told.push(percentage);
      },
      onChunk: ({ data }) => told.push(data),
    });
    const id = await peer.acknowledge();
    peer.send(
      processing(id, 2),
      progress(id, 1, 1, { percentage: 50 }),
      chunk(id, 3, ["row"]),
      complete(id, 4, "r"),
    );
    expect(await result).toBe("r");
    expect(told).toEqual(["queued", "processing", 50, ["row"]]);
  });

  // clause: 9.1.5
  test("throws a refusal and a failure as its typed error", async () => {
    const { client, peer } = await connected();
    const refused = client.call("nothing");
    const { id } = await peer.expect("request");
    peer.send(refusal("request", String(id), "UNKNOWN_ACTION"));
    await expect(refused).rejects.toBeInstanceOf(UnknownActionError);
    const watched = client.call("report", 1, { onChunk: () => {} });
    const other = await peer.acknowledge();
    peer.send(failed(other, 2));
    await expect(watched).rejects.toMatchObject({ name: "HandlerError", requestId: other });
    await expect(watched).rejects.toBeInstanceOf(HandlerError);
  });

  // clause: 9.9.1
  test("a callback that throws does no harm (9.9.1)", async () => {
    const warnings: unknown[] = [];
    const { client, peer } = await connected({ onWarning: (...words) => warnings.push(words) });
    const bang = new Error("bang");
    const result = client.call("report", 1, {
      onStatus: () => {
        throw bang;
      },
      onChunk: () => Promise.reject(bang),
    });
    const id = await peer.acknowledge();
    peer.send(chunk(id, 2), complete(id, 3, "r"));
    expect(await result).toBe("r");
    expect(warnings).toEqual([
      [`a callback of request ${id} threw`, bang],
      [`a callback of request ${id} threw`, bang],
    ]);
  });

  // clause: 2.4.3, 9.3.1
  test("all options travel, and undefined ones do not", async () => {
    const { client, peer } = await connected();
    const result = client.call("report", null, {
      id: "my-id",
      metadata: { a: "b" },
      deadlineMs: 10,
      delayMs: 5,
      priority: 9,
      callbackUrl: "https://example.org/hook",
      traceparent: "00-0-0-00",
    });
    expect(await peer.next()).toEqual({
      type: "request",
      id: "my-id",
      action: "report",
      payload: null,
      metadata: { a: "b" },
      deadline_ms: 10,
      delay_ms: 5,
      priority: 9,
      callback_url: "https://example.org/hook",
      traceparent: "00-0-0-00",
    });
    peer.send({ type: "response", request_id: "my-id", result: null });
    expect(await result).toBeNull();
  });

  test("a bad payload is told by a rejection", async () => {
    const { client } = await connected();
    await expect(client.call("report", Number.NaN)).rejects.toBeInstanceOf(ValidationError);
  });

  // clause: 9.5.5
  test("the patience that ends before it is sent withdraws it (9.5.5)", async () => {
    const server = await TestServer.start();
    const client = server.client();
    await expect(client.call("report", 1, { timeoutMs: 1 })).rejects.toMatchObject({
      name: "WaitTimeoutError",
      sent: false,
      acknowledged: false,
    });
    const peer = await server.welcomed();
    const other = client.call("other");
    expect(await peer.next()).toMatchObject({ action: "other" });
    await Promise.all([
      expect(other).rejects.toBeInstanceOf(ConnectionClosedError),
      client.close(),
    ]);
  });

  // clause: 9.3.2
  test("the patience that ends later only lets go (9.3.2)", async () => {
    const { client, peer } = await connected();
    const controller = new AbortController();
    const result = client.call("report", 1, {
      signal: controller.signal,
      onStatus: () => controller.abort(new Error("tired")),
    });
    const id = await peer.acknowledge();
    await expect(result).rejects.toThrow("tired");
    expect(await peer.next()).toEqual({ type: "detach", request_id: id });
  });

  test("an aborted signal sends nothing", async () => {
    const { client, peer } = await connected();
    await expect(client.call("report", 1, { signal: AbortSignal.abort() })).rejects.toThrow();
    const other = client.call("other");
    const { id } = await peer.expect("request");
    peer.send({ type: "response", request_id: id, result: 1 });
    await other;
  });

  // clause: 9.5.4
  test("a full queue is told at once", async () => {
    const server = await TestServer.start();
    const client = server.client({ maxQueue: 1 });
    const first = client.call("report");
    await expect(client.call("report")).rejects.toBeInstanceOf(QueueFullError);
    await Promise.all([
      expect(first).rejects.toMatchObject({ outcomeUnknown: false }),
      client.close(),
    ]);
  });
});

describe("submit", () => {
  // clause: 9.1.2
  test("gives a handle when the request is stored (9.1.2)", async () => {
    const { client, peer } = await connected();
    const submitted = client.submit("report");
    const id = await peer.acknowledge();
    const handle = await submitted;
    expect([handle.id, handle.isFinished]).toEqual([id, false]);
    expect(handle).not.toHaveProperty("then");
    peer.send(complete(id, 2));
    expect(await handle.result()).toBe("done");
  });

  // clause: 9.1.3
  test("gives a finished handle of a quick request, without events (9.1.3)", async () => {
    const { client, peer } = await connected();
    const submitted = client.submit("echo");
    const { id } = await peer.expect("request");
    peer.send({ type: "response", request_id: id, result: 1 });
    const handle = await submitted;
    expect(handle.isFinished).toBe(true);
    for await (const event of handle) expect.unreachable(JSON.stringify(event));
    expect(await handle.result()).toBe(1);
  });

  test("also of a quick one that failed", async () => {
    const { client, peer } = await connected();
    const submitted = client.submit("echo");
    const { id } = await peer.expect("request");
    peer.send({ ...refusal("request", String(id), "HANDLER_ERROR"), executed: true });
    const handle = await submitted;
    await expect(handle.result()).rejects.toMatchObject({ executed: true });
  });

  test("throws a refusal", async () => {
    const { client, peer } = await connected();
    const submitted = client.submit("echo");
    const { id } = await peer.expect("request");
    peer.send(refusal("request", String(id), "FORBIDDEN"));
    await expect(submitted).rejects.toMatchObject({ code: "FORBIDDEN", outcomeUnknown: false });
  });

  test("its patience that ends leaves the request to be settled, and let go", async () => {
    const { client, peer } = await connected();
    const submitted = client.submit("report", 1, { timeoutMs: 20 });
    const { id } = await peer.expect("request");
    await expect(submitted).rejects.toMatchObject({
      requestId: id,
      sent: true,
      acknowledged: false,
    });
    peer.send({
      type: "acknowledgment",
      request_id: id,
      seq: 1,
      status: "queued",
      created_at: "2026-11-23T18:40:00.120Z",
    });
    expect(await peer.next()).toEqual({ type: "detach", request_id: id });
  });
});

describe("requests", () => {
  test("are listed page by page, as they are needed", async () => {
    const { client, peer } = await connected();
    const seen: string[] = [];
    const listing = (async () => {
      for await (const { id, createdAt } of client.requests({
        status: "queued",
        action: "report",
        pageSize: 2,
      })) {
        expect(createdAt).toBeInstanceOf(Date);
        seen.push(id);
      }
    })();
    const first = await peer.expect("list");
    expect(first).toEqual({
      type: "list",
      id: first.id,
      status: ["queued"],
      action: "report",
      limit: 2,
    });
    peer.send({
      type: "listing",
      id: first.id,
      requests: [summary("a"), summary("b")],
      next_cursor: "c",
    });
    const second = await peer.expect("list");
    expect(second).toMatchObject({ cursor: "c", limit: 2 });
    peer.send({ type: "listing", id: second.id, requests: [summary("d")] });
    await listing;
    expect(seen).toEqual(["a", "b", "d"]);
  });

  test("a refusal is thrown", async () => {
    const { client, peer } = await connected();
    const next = client.requests({ sub: "other" }).next();
    const { id } = await peer.expect("list");
    peer.send({ type: "error", reply_to: "list", id, error: errorInfo("FORBIDDEN") });
    await expect(next).rejects.toMatchObject({ code: "FORBIDDEN" });
  });

  test("a bad filter is told", async () => {
    const { client } = await connected();
    await expect(client.requests({ pageSize: 201 }).next()).rejects.toMatchObject({
      details: { pointer: "/limit" },
    });
  });
});

describe("state", () => {
  // clause: 9.7.1, 9.7.2
  test("is told to listeners and iterators, from connecting to closed (9.7)", async () => {
    const listened: string[] = [];
    const server = await TestServer.start();
    const client = server.client({ onState: ({ state }) => listened.push(state) });
    const iterated: ClientState[] = [];
    const iterating = (async () => {
      for await (const state of client.states()) iterated.push(state);
    })();
    expect(client.state).toEqual({ state: "connecting" });
    (await server.welcomed()).drop();
    await server.welcomed();
    await client.ready();
    expect(client.state).toEqual({ state: "ready", resumed: true });
    const more: string[] = [];
    const stop = client.onState(({ state }) => more.push(state));
    stop();
    await client.close();
    await iterating;
    expect(listened).toEqual(["ready", "reconnecting", "connecting", "ready", "closed"]);
    expect(iterated[0]).toEqual({ state: "connecting" });
    expect(iterated.at(-1)).toEqual({
      state: "closed",
      code: undefined,
      reason: "the application closed it",
    });
    expect(more).toEqual([]);
  });

  test("ready waits, and fails when the client is closed for good", async () => {
    const server = await TestServer.start();
    const client = server.client();
    await expect(client.ready({ timeoutMs: 1 })).rejects.toBeInstanceOf(WaitTimeoutError);
    const ready = client.ready();
    (await server.accept()).close(4403, "not you");
    await expect(ready).rejects.toMatchObject({
      name: "ConnectionClosedError",
      code: 4403,
      reason: "not you",
    });
    await expect(client.call("x")).rejects.toBeInstanceOf(ConnectionClosedError);
  });

  // clause: 9.9.1
  test("a listener that throws does no harm", async () => {
    const warnings: string[] = [];
    const { client } = await connected({
      onWarning: (text) => warnings.push(text),
      onState: () => {
        throw new Error("bang");
      },
    });
    await client.ready();
    expect(warnings).toContain("a listener of the state threw");
  });

  test("a listener may close the client", async () => {
    const server = await TestServer.start();
    const client = server.client({
      onState: ({ state }) => void (state === "ready" && client.close()),
    });
    const peer = await server.welcomed();
    expect(await peer.closed).toBe(1000);
  });

  // clause: 4.7.3
  test("announcements are handed on", async () => {
    const heard: string[] = [];
    const { client, peer } = await connected({
      onAnnouncement: ({ message }) => heard.push(message),
    });
    const later = new Promise<string>((resolve) => {
      client.onAnnouncement(({ message }) => resolve(message));
    });
    peer.send({ type: "announcement", message: "hear", created_at: "2026-11-23T18:40:00.000Z" });
    expect(await later).toBe("hear");
    expect(heard).toEqual(["hear"]);
  });

  // clause: 2.5.2, 2.5.3
  test("messages of a later version are counted", async () => {
    const warnings: string[] = [];
    const { client, peer } = await connected({ onWarning: (text) => warnings.push(text) });
    peer.send({ type: "hint" });
    const result = client.call("echo");
    const { id } = await peer.expect("request");
    peer.send({ type: "response", request_id: id, result: 1 });
    await result;
    expect(client.ignoredMessages).toBe(1);
    expect(warnings).toEqual(["ignored: a message of unknown type"]);
  });
});

describe("close", () => {
  test("ends what waits, and may be called twice", async () => {
    const { client, peer } = await connected();
    const result = client.call("report");
    const submitted = client.submit("report");
    const id = await peer.acknowledge();
    await peer.acknowledge();
    const handle = await submitted;
    const iterating = (async () => {
      for await (const _event of handle);
    })();
    const cancelling = handle.cancel();
    await Promise.all([
      expect(result).rejects.toMatchObject({ requestId: id, outcomeUnknown: false }),
      expect(iterating).rejects.toBeInstanceOf(ConnectionClosedError),
      expect(cancelling).rejects.toBeInstanceOf(ConnectionClosedError),
      client.close(),
      client.close(),
    ]);
    expect(await peer.closed).toBe(1000);
    expect(() => client.attach("a")).toThrow(ConnectionClosedError);
  });

  test("while it connects", async () => {
    const server = await TestServer.start();
    const client = server.client();
    await client.close();
    expect(client.state.state).toBe("closed");
  });
});

// clause: 9.1.4, 9.2.9
test("cancel through a handle that was attached", async () => {
  const { client, peer } = await connected();
  const handle = client.attach("a");
  expect(await peer.next()).toEqual({ type: "attach", request_id: "a", after_seq: 0 });
  const cancelled = handle.cancel("enough");
  expect(await peer.next()).toEqual({ type: "cancel", request_id: "a", reason: "enough" });
  peer.send(snapshotMessage("a", { last_seq: 0 }), snapshotMessage("a", {}, "cancel"));
  await cancelled;
  peer.send(failed("a", 1, "CANCELLED"));
  await expect(handle.result()).rejects.toBeInstanceOf(RequestCancelledError);
});
