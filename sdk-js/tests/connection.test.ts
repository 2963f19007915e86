// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { Connection } from "../src/connection.js";
import { ConnectionClosedError } from "../src/errors.js";
import { cleanups } from "./cleanup.js";
import { chunk, complete, snapshotMessage } from "./protocol/bench.js";
import { connected, TestServer } from "./server.js";

describe("tokens", () => {
  // clause: 3.2.1, 9.4.5, 10.42.3
  test("a function is asked at each connect, with the reason (9.4.5)", async () => {
    const reasons: string[] = [];
    const server = await TestServer.start();
    const client = server.client({
      token: async (reason) => {
        reasons.push(reason);
        return `token ${reasons.length}`;
      },
    });
    const first = await server.accept();
    expect(await first.welcome()).toMatchObject({ token: "token 1" });
    first.close(4401);
    const second = await server.accept();
    expect(await second.welcome()).toMatchObject({ token: "token 2" });
    await client.ready();
    expect(reasons).toEqual(["connect", "unauthorized"]);
  });

  // clause: 9.4.6
  test("one that fails is told without harm, and asked again (9.4.6)", async () => {
    const warnings: unknown[][] = [];
    const down = new Error("down");
    const answers = [() => Promise.reject(down), () => "", () => "token"];
    const server = await TestServer.start();
    server.client({
      token: () => (answers.shift() ?? (() => "more"))(),
      onWarning: (...words) => warnings.push(words),
    });
    const peer = await server.accept();
    expect(await peer.welcome()).toMatchObject({ token: "token" });
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toEqual(["the token source failed", down]);
  });

  // clause: 3.6.1
  test("a refresh happens on the open connection", async () => {
    const server = await TestServer.start();
    const tokens = ["first", "second", "third"];
    server.client({ token: () => tokens.shift() ?? "last" });
    const peer = await server.welcomed({
      server_time: "2026-11-23T18:40:00.000Z",
      expires_at: "2026-11-23T18:40:00.020Z",
    });
    // A second is the shortest time between two refreshes.
    expect(await peer.next()).toEqual({ type: "refresh", token: "second" });
    expect(server.connections).toBe(1);
  });

  // clause: 9.4.5
  test("they are asked for one at a time", async () => {
    let running = 0;
    let most = 0;
    const server = await TestServer.start();
    const connection = new Connection(
      server.url,
      {
        token: async () => {
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
          return "token";
        },
      },
      WebSocket,
    );
    cleanups.push(() => connection.close());
    await Promise.all([connection.token("connect"), connection.token("unauthorized")]);
    expect(most).toBe(1);
  });
});

describe("sockets", () => {
  // clause: 2.2.3, 7.3.3
  test("a binary message closes with 1003, and it reconnects (2.2.3)", async () => {
    const warnings: string[] = [];
    const { server, client, peer } = await connected({ onWarning: (text) => warnings.push(text) });
    peer.sendRaw(Buffer.from([1, 2]));
    expect(await peer.closed).toBe(1003);
    await server.welcomed();
    await client.ready();
    expect(warnings).toEqual(["the server broke the protocol: a binary message"]);
  });

  // clause: 4.3.14
  test("a malformed message closes with 4400, and nothing is lost (4.3.14)", async () => {
    const warnings: string[] = [];
    const { server, client, peer } = await connected({ onWarning: (text) => warnings.push(text) });
    const result = client.call("report");
    const id = await peer.acknowledge();
    peer.sendRaw('{"type":"chunk"}');
    expect(await peer.closed).toBe(4400);
    const second = await server.welcomed();
    expect(await second.next()).toEqual({ type: "attach", request_id: id, after_seq: 1 });
    second.send(snapshotMessage(id, { last_seq: 2 }), complete(id, 2));
    expect(await result).toBe("done");
    expect(warnings).toHaveLength(1);
  });

  // clause: 2.1.5
  test("a server without the subprotocol is not used (2.1.5)", async () => {
    const server = await TestServer.start();
    const states: string[] = [];
    class Other extends WebSocket {
      constructor(url: string, protocols?: string[]) {
        super(url, protocols);
        Object.defineProperty(this, "protocol", { value: "" });
      }
    }
    server.client({ webSocket: Other, onState: ({ state }) => states.push(state) });
    const peer = await server.accept();
    expect(await peer.closed).toBe(1000);
    await server.accept();
    expect(states).not.toContain("ready");
  });

  // clause: 9.4.8
  test.each([
    ["401 Unauthorized", 4401, 2],
    ["403 Forbidden", 4403, 1],
  ])(
    "an upgrade that is refused with %s is as close code %i (9.4.8)",
    async (status, code, tries) => {
      const server = await TestServer.start();
      server.refuseWith = status;
      const client = server.client();
      await expect(client.ready()).rejects.toBeInstanceOf(ConnectionClosedError);
      expect(client.state).toMatchObject({ state: "closed", code });
      expect(server.connections).toBe(tries);
    },
  );

  // clause: 9.4.8
  test("one that is refused with 503 is tried again, after Retry-After", async () => {
    const server = await TestServer.start();
    server.refuseWith = "503 Service Unavailable\r\nRetry-After: 1";
    const client = server.client();
    const state = await new Promise((resolve) => client.onState(resolve));
    expect(state).toMatchObject({ state: "reconnecting", retryInMs: 1_000 });
    server.refuseWith = undefined;
    await server.welcomed();
    await client.ready();
  });

  test("a server that is not there is tried again", async () => {
    const server = await TestServer.start();
    server.refuseWith = "500 Internal Server Error";
    const client = server.client();
    const states: string[] = [];
    client.onState(({ state }) => states.push(state));
    while (states.filter((state) => state === "reconnecting").length < 3) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    server.refuseWith = undefined;
    await server.welcomed();
    await client.ready();
  });

  test("a class that throws is a failed try", async () => {
    const warnings: string[] = [];
    let tries = 0;
    const server = await TestServer.start();
    class Flaky extends WebSocket {
      constructor(url: string, protocols?: string[]) {
        tries += 1;
        if (tries < 3) throw new Error("not today");
        super(url, protocols);
      }
    }
    const client = server.client({ webSocket: Flaky, onWarning: (text) => warnings.push(text) });
    await server.welcomed();
    await client.ready();
    expect(warnings).toEqual(["the WebSocket class threw", "the WebSocket class threw"]);
  });
});

// clause: 6.8.5, 6.8.7, 6.8.8
test("a goaway moves the client over, and the application sees no error (6.8)", async () => {
  const { server, client, peer } = await connected();
  const told: unknown[] = [];
  const result = client.call("report", 1, { onChunk: ({ data }) => told.push(data) });
  const id = await peer.acknowledge();
  peer.send({ type: "goaway", reason: "restart", reconnect_after_ms: 1 });
  const second = await server.welcomed();
  peer.send(chunk(id, 2, "old"));
  const { after_seq: after } = await second.expect("attach");
  second.send(snapshotMessage(id, { last_seq: 2 }));
  if (after === 1) second.send(chunk(id, 2, "old"));
  second.send(chunk(id, 3, "new"), complete(id, 4));
  expect(await result).toBe("done");
  expect(await peer.closed).toBe(1000);
  expect(told).toEqual(["old", "new"]);
  expect(server.connections).toBe(2);
});

test("a reader that is closed for being slow goes on where it was (6.4)", async () => {
  const { server, client, peer } = await connected();
  const submitted = client.submit("report");
  const id = await peer.acknowledge();
  const chunks = (await submitted).chunks();
  peer.send(chunk(id, 2), chunk(id, 3));
  peer.close(4408);
  const second = await server.welcomed();
  expect(await second.next()).toEqual({ type: "attach", request_id: id, after_seq: 3 });
  second.send(snapshotMessage(id, { last_seq: 4 }), chunk(id, 4), complete(id, 5));
  expect(await chunks).toEqual([2, 3, 4]);
});

test("an unanswered request is sent again under its id, and is answered once", async () => {
  const { server, client, peer } = await connected();
  const result = client.call("report", { x: 1 });
  const { id } = await peer.expect("request");
  peer.drop();
  const second = await server.welcomed();
  expect(await second.next()).toEqual({
    type: "request",
    id,
    action: "report",
    payload: { x: 1 },
    resend: true,
  });
  second.send({ type: "response", request_id: id, result: 1 });
  second.send({ type: "response", request_id: id, result: 2 });
  expect(await result).toBe(1);
});

test("warnings go to the console where nobody else takes them", async () => {
  const server = await TestServer.start();
  server.client({
    token: () => {
      throw new Error("down");
    },
  });
  await vi.waitFor(() => expect(console.warn).toHaveBeenCalled());
  expect(vi.mocked(console.warn).mock.calls[0]).toEqual([
    "longcall: the token source failed",
    new Error("down"),
  ]);
  await cleanups.pop()?.();
  vi.mocked(console.warn).mockClear();
});

test("a warning that throws does no harm", async () => {
  const { client, peer } = await connected({
    onWarning: () => {
      throw new Error("bang");
    },
  });
  peer.send({ type: "hint" });
  const result = client.call("echo");
  const { id } = await peer.expect("request");
  peer.send({ type: "response", request_id: id, result: 1 });
  expect(await result).toBe(1);
});
