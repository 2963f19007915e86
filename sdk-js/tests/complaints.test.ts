// SPDX-License-Identifier: Apache-2.0
// What users of such systems suffer from, by the numbers of docs/complaints.md: each test does what
// they did, over real sockets, and asserts what this client does instead.
import { expect, test } from "vitest";
import {
  ConflictError,
  PayloadTooLargeError,
  type Progress,
  QueueFullError,
  RequestCancelledError,
  type RequestEvent,
  type RequestHandle,
  type WaitTimeoutError,
} from "../src/index.js";
import { TestClock } from "../src/testing/index.js";
import {
  acknowledgment,
  chunk,
  complete,
  failed,
  LIMITS,
  processing,
  progress,
  refusal,
  snapshotMessage,
} from "./protocol/bench.js";
import { connected, type Peer, TestServer } from "./server.js";

const TRACE = (digit: number) => `00-${String(digit).repeat(32)}-${"a".repeat(16)}-01`;

function short(event: RequestEvent): string {
  if (event.kind === "status") return event.status;
  return event.kind === "chunk" ? `chunk ${event.seq}` : `progress ${event.version}`;
}

async function all(handle: RequestHandle): Promise<string[]> {
  const told: string[] = [];
  for await (const event of handle) told.push(short(event));
  return told;
}

/** Waits until the client has read all that was sent before. */
async function read(peer: Peer): Promise<void> {
  peer.send({ type: "ping" });
  await peer.expect("pong");
}

test("complaint 2: a call that reports progress for two hours is not ended by this side", async () => {
  const clock = new TestClock();
  const { server, client, peer } = await connected({ clock });
  const seen: unknown[] = [];
  const result = client.call("train", undefined, {
    deadlineMs: 10_000_000,
    onProgress: ({ version }) => seen.push(version),
  });
  const request = await peer.expect("request");
  expect(request).toMatchObject({ deadline_ms: 10_000_000 }); // the server's clock, not ours
  const id = String(request.id);
  peer.send(acknowledgment(id), processing(id, 2));
  for (let version = 1; version <= 240; version++) {
    peer.send(progress(id, version));
    await read(peer);
    await clock.advance(30_000);
  }
  peer.send(complete(id, 3, "trained"));
  expect(await result).toBe("trained");
  expect(seen).toEqual(Array.from({ length: 240 }, (_, i) => i + 1));
  expect(server.connections).toBe(1);
});

test("complaint 3: a lost connection cancels nothing, and another device can cancel by the id", async () => {
  const { server, client, peer } = await connected();
  const submitted = client.submit("report");
  const id = await peer.acknowledge();
  const handle = await submitted;
  peer.drop();
  const second = await server.welcomed();
  expect(await second.next()).toEqual({ type: "attach", request_id: id, after_seq: 1 });
  second.send(snapshotMessage(id));

  const device = server.client();
  const other = await server.welcomed();
  const cancelling = device.attach(id).cancel("wrong month");
  const said = [await other.next(), await other.next()].map(({ type }) => type).sort();
  expect(said).toEqual(["attach", "cancel"]);
  other.send(snapshotMessage(id), snapshotMessage(id, { cancel_requested: true }, "cancel"));
  await cancelling;

  second.send({ ...failed(id, 2, "CANCELLED"), reason: undefined });
  await expect(handle.result()).rejects.toBeInstanceOf(RequestCancelledError);
});

test("complaint 4: a connection that is lost before the first event is resumed all the same", async () => {
  const { server, client, peer } = await connected();
  const told = all(client.attach("a"));
  expect(await peer.expect("attach")).toMatchObject({ after_seq: 0 });
  peer.drop(); // not even the snapshot came
  const second = await server.welcomed();
  expect(await second.next()).toEqual({ type: "attach", request_id: "a", after_seq: 0 });
  second.send(snapshotMessage("a", { last_seq: 2 }));
  second.drop(); // the snapshot came, and no event
  const third = await server.welcomed();
  expect(await third.next()).toEqual({ type: "attach", request_id: "a", after_seq: 0 });
  third.send(snapshotMessage("a", { last_seq: 2 }));
  third.send(acknowledgment("a"), processing("a", 2), complete("a", 3));
  expect(await told).toEqual(["queued", "processing"]);
  expect(client.state).toEqual({ state: "ready", resumed: true });
});

test("complaint 5: a gap is noticed and read again, and what cannot be had is told", async () => {
  const { client, peer } = await connected();
  const handle = client.attach("a");
  const told = all(handle);
  await peer.expect("attach");
  peer.send(snapshotMessage("a", { last_seq: 4 }));
  peer.send(acknowledgment("a"), chunk("a", 4)); // 2 and 3 are lost
  expect(await peer.next()).toEqual({ type: "attach", request_id: "a", after_seq: 1 });
  peer.send(snapshotMessage("a", { last_seq: 4 }));
  peer.send(processing("a", 2), chunk("a", 3), chunk("a", 4), complete("a", 5));
  expect(await told).toEqual(["queued", "processing", "chunk 3", "chunk 4"]);

  const lost = client.attach("b");
  const iterating = all(lost);
  await peer.expect("attach");
  peer.send(refusal("attach", "b", "CONFLICT", { details: { last_seq: 0 } }));
  await expect(iterating).rejects.toBeInstanceOf(ConflictError);
  await expect(lost.result()).rejects.toMatchObject({ details: { last_seq: 0 } });
});

test("complaint 6: what is recovered does not come twice, and nothing comes after the end", async () => {
  const { server, client, peer } = await connected();
  const handle = client.attach("a");
  const events: string[] = [];
  handle.on("chunk", (event) => events.push(short(event)));
  handle.on("status", (event) => events.push(short(event)));
  const told = all(handle);
  await peer.expect("attach");
  peer.send(snapshotMessage("a", { last_seq: 3 }));
  peer.send(acknowledgment("a"), processing("a", 2), chunk("a", 3));
  await read(peer);
  peer.drop();
  const second = await server.welcomed();
  expect(await second.next()).toMatchObject({ type: "attach", after_seq: 3 });
  second.send(snapshotMessage("a", { last_seq: 5 }));
  for (let seq = 2; seq <= 4; seq++) second.send(chunk("a", seq)); // more than was asked for
  second.send(chunk("a", 4), complete("a", 5, "first"));
  second.send(complete("a", 5, "second"), chunk("a", 6), failed("a", 7));
  expect(await told).toEqual(["queued", "processing", "chunk 3", "chunk 4"]);
  await read(second);
  expect(events.sort()).toEqual(["chunk 3", "chunk 4", "processing", "queued"]);
  expect(await handle.result()).toBe("first");
});

test("complaint 7: who tries again after a timeout does not run the work twice", async () => {
  const clock = new TestClock();
  const { server, client, peer } = await connected({ clock });
  const impatient = client.call("pay", { amount: 7 }, { id: "order-7", timeoutMs: 1 });
  const given = expect(impatient).rejects.toMatchObject({ requestId: "order-7", sent: true });
  const request = await peer.expect("request");
  await clock.advance(1);
  await given;
  const again = client.call("pay", { amount: 7 }, { id: "order-7" });
  await read(peer); // it is the same request: nothing was sent
  peer.drop();
  const accepted = server.welcomed();
  while (server.connections === 1) await clock.advance(1);
  const second = await accepted;
  expect(await second.next()).toEqual({ ...request, resend: true });
  second.send({ ...acknowledgment("order-7"), duplicate: true }, complete("order-7", 2, "paid"));
  expect(await again).toBe("paid");
  // Without an id of one's own the error tells the one that was chosen.
  const unnamed = client
    .call("pay", { amount: 8 }, { timeoutMs: 1 })
    .catch((error: unknown) => error as WaitTimeoutError);
  const { id } = await second.expect("request");
  await clock.advance(1);
  const { requestId = "" } = (await unnamed) as WaitTimeoutError;
  expect(requestId).toBe(id);
  const rest = client.attach(requestId).result();
  second.send(acknowledgment(requestId), complete(requestId, 2, "paid too"));
  expect(await rest).toBe("paid too");
});

test("complaint 10: a result is there although the message with it was lost", async () => {
  const { server, client, peer } = await connected();
  const result = client.call("report");
  const id = await peer.acknowledge();
  await read(peer);
  peer.drop(); // it finishes now, and the push goes nowhere
  const second = await server.welcomed();
  expect(await second.next()).toEqual({ type: "attach", request_id: id, after_seq: 1 });
  second.send(snapshotMessage(id, { status: "completed", last_seq: 3 }));
  second.send(processing(id, 2), complete(id, 3, "the result"));
  expect(await result).toBe("the result");
  // And much later, by somebody who never waited before.
  const late = client.attach(id).result();
  expect(await second.next()).toMatchObject({ type: "attach", request_id: id });
  second.send(snapshotMessage(id, { status: "completed", last_seq: 3 }));
  second.send(acknowledgment(id), processing(id, 2), complete(id, 3, "the result"));
  expect(await late).toBe("the result");
});

test("complaint 11: who comes back is shown where it stands, then what follows", async () => {
  const { server, client, peer } = await connected();
  const handle = client.attach("a");
  const shown: string[] = [];
  const progressed = new Promise<Progress>((resolve) => handle.on("progress", resolve));
  const told = (async () => {
    for await (const event of handle) shown.push(short(event));
  })();
  await peer.expect("attach");
  peer.send(snapshotMessage("a", { last_seq: 2 }), acknowledgment("a"), processing("a", 2));
  await read(peer);
  peer.drop();
  const second = await server.welcomed();
  await second.expect("attach");
  // All progress reported meanwhile was pushed to nobody: the snapshot has the newest.
  const newest = { attempt: 1, version: 9, percentage: 90, updated_at: "2026-11-23T18:41:00.000Z" };
  second.send(snapshotMessage("a", { last_seq: 2, progress: newest }));
  expect((await progressed).percentage).toBe(90);
  second.send(chunk("a", 3), complete("a", 4));
  await told;
  expect(shown).toEqual(["queued", "processing", "progress 9", "chunk 3"]);
});

test("complaint 12: the end of a connection, and a snapshot, are not the end of the work", async () => {
  const { server, client, peer } = await connected();
  const handle = client.attach("a");
  let isOver = false;
  const told = all(handle).finally(() => {
    isOver = true;
  });
  await peer.expect("attach");
  peer.send(snapshotMessage("a", { last_seq: 1 }), acknowledgment("a"));
  await read(peer);
  for (const code of [1000, 1001, 1012, 4408]) {
    peer.close(code);
    const next = await server.welcomed();
    await next.expect("attach");
    next.send(snapshotMessage("a", { status: "completed", last_seq: 3 }));
    await read(next);
    expect([isOver, handle.isFinished]).toEqual([false, false]);
    peer.close = next.close.bind(next);
    peer.send = next.send.bind(next);
  }
  peer.send(processing("a", 2), complete("a", 3));
  expect(await told).toEqual(["queued", "processing"]);
});

test("complaint 13: the token is renewed on the open connection, in time, once at a time, for a reason", async () => {
  const clock = new TestClock();
  const reasons: string[] = [];
  let running = 0;
  const server = await TestServer.start();
  const client = server.client({
    clock,
    token: async (reason) => {
      expect(++running).toBe(1);
      reasons.push(reason);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return `token ${reasons.length}`;
    },
  });
  const peer = await server.welcomed({
    server_time: "2026-11-23T18:40:00.000Z",
    expires_at: "2026-11-23T18:40:30.000Z",
  });
  const result = client.call("report");
  const id = await peer.acknowledge();
  await clock.advance(23_999);
  expect(reasons).toEqual(["connect"]);
  await clock.advance(1);
  expect(await peer.next()).toEqual({ type: "refresh", token: "token 2" });
  peer.send({
    type: "refreshed",
    server_time: "2026-11-23T18:40:24.000Z",
    expires_at: "2026-11-23T19:40:24.000Z",
  });
  peer.send(complete(id, 2, "not lost"));
  expect(await result).toBe("not lost");
  expect(reasons).toEqual(["connect", "refresh"]);
  expect(server.connections).toBe(1);
});

test("complaint 14: a running call is cancelled, with a reason, and the handle is told", async () => {
  const { client, peer } = await connected();
  const submitted = client.submit("report");
  const id = await peer.acknowledge();
  const handle = await submitted;
  const cancelling = handle.cancel("not needed");
  expect(await peer.next()).toEqual({ type: "cancel", request_id: id, reason: "not needed" });
  peer.send(snapshotMessage(id, { cancel_requested: true }, "cancel"));
  await cancelling;
  expect(handle.isFinished).toBe(false); // the handler is told, and may finish first
  const { error } = failed(id, 2, "CANCELLED") as { error: object };
  peer.send({ ...failed(id, 2), error: { ...error, details: { reason: "not needed" } } });
  await expect(handle.result()).rejects.toMatchObject({
    name: "RequestCancelledError",
    code: "CANCELLED",
    details: { reason: "not needed" },
    requestId: id,
  });
});

test("complaint 15: a slow call holds up no other, and the server's limit is kept without an error", async () => {
  const { client, peer } = await connected({}, { limits: { ...LIMITS, max_in_flight: 3 } });
  const slow = client.call("slow");
  const slowId = await peer.acknowledge();
  for (let i = 0; i < 5; i++) {
    const quick = client.call("quick", i);
    const { id } = await peer.expect("request");
    peer.send({ type: "response", request_id: id, result: i });
    expect(await quick).toBe(i);
  }
  const others = [1, 2, 3].map((i) => client.call("other", i));
  const [second, third] = [await peer.acknowledge(), await peer.acknowledge()];
  await read(peer); // the fourth stays here: nothing else was sent
  peer.send(complete(second, 2, 1));
  const fourth = await peer.acknowledge();
  peer.send(complete(third, 2, 2), complete(fourth, 2, 3), complete(slowId, 2, "slow"));
  expect(await Promise.all([...others, slow])).toEqual([1, 2, 3, "slow"]);
});

test("complaint 16: a connection that is dead and open is noticed, left and replaced", async () => {
  const clock = new TestClock();
  const { server, client, peer } = await connected({ clock });
  const result = client.call("report");
  const id = await peer.acknowledge();
  await read(peer);
  await clock.advance(34_999);
  expect(client.state.state).toBe("ready");
  await clock.advance(1); // not a frame in the interval and its grace
  expect(await peer.closed).toBe(4408);
  const replaced = server.accept();
  while (server.connections === 1) await clock.advance(10);
  const second = await replaced;
  await second.welcome();
  expect(await second.next()).toEqual({ type: "attach", request_id: id, after_seq: 1 });
  second.send(snapshotMessage(id), complete(id, 2, "alive"));
  expect(await result).toBe("alive");
});

test("complaint 18: clients that lost their server together come back spread, from the first try on", async () => {
  const server = await TestServer.start();
  const waits: number[] = [];
  const clients = Array.from({ length: 10 }, (_, i) =>
    server.client({
      backoffInitialMs: 500,
      backoffMaximumMs: 20_000,
      random: () => i / 10,
      onState: (state) => state.state === "reconnecting" && waits.push(state.retryInMs),
    }),
  );
  const peers: Peer[] = [];
  for (const _ of clients) peers.push(await server.welcomed());
  for (const client of clients) await client.ready();
  const lost = clients.map(async (client) => {
    for await (const { state } of client.states()) if (state === "reconnecting") return;
  });
  for (const peer of peers) peer.close(1012);
  await Promise.all(lost);
  expect(waits.sort((a, b) => a - b)).toEqual([0, 50, 100, 150, 200, 250, 300, 350, 400, 450]);
});

test("complaint 18: a server that says goodbye says to each when to come back", async () => {
  const clock = new TestClock();
  const { server, client, peer } = await connected({ clock });
  peer.send({ type: "goaway", reason: "deploy", reconnect_after_ms: 7_000 });
  await read(peer);
  expect(client.state.state).toBe("draining");
  await clock.advance(6_999);
  expect(server.connections).toBe(1);
  const accepted = server.accept();
  await clock.advance(1);
  await (await accepted).welcome();
  expect(await peer.closed).toBe(1000);
});

test("complaint 20: what is made offline waits in a bounded queue, in order, each as long as it wants", async () => {
  const server = await TestServer.start();
  const clock = new TestClock();
  const client = server.client({ maxQueue: 3, clock });
  const peer = await server.accept(); // connected, and not welcomed
  const results = [1, 2].map((i) => client.call("later", i));
  const impatient = client.call("impatient", 3, { timeoutMs: 1_000 });
  await expect(client.call("surplus", 4)).rejects.toBeInstanceOf(QueueFullError);
  const given = expect(impatient).rejects.toMatchObject({ name: "WaitTimeoutError", sent: false });
  await clock.advance(1_000);
  await given;
  results.push(client.call("later", 5)); // there is room again
  await peer.welcome();
  for (const payload of [1, 2, 5]) {
    const request = await peer.expect("request");
    expect(request).toMatchObject({ action: "later", payload });
    peer.send({ type: "response", request_id: request.id, result: payload });
  }
  expect(await Promise.all(results)).toEqual([1, 2, 5]);
});

test("complaint 21: of progress the newest counts, of chunks each, in order", async () => {
  const { client, peer } = await connected();
  const chunks: unknown[] = [];
  const percentages: unknown[] = [];
  const result = client.call("report", undefined, {
    onChunk: ({ data }) => chunks.push(data),
    onProgress: ({ percentage }) => percentages.push(percentage),
  });
  const id = await peer.acknowledge();
  peer.send(processing(id, 2));
  for (let i = 1; i <= 100; i++) {
    peer.send(progress(id, i, 1, { percentage: i }), chunk(id, i + 2, `piece ${i}`));
  }
  peer.send(progress(id, 50, 1, { percentage: 50 })); // late
  peer.send(complete(id, 103, "all"));
  expect(await result).toBe("all");
  expect(chunks).toEqual(Array.from({ length: 100 }, (_, i) => `piece ${i + 1}`));
  expect(percentages.at(-1)).toBe(100);
  expect(percentages).toEqual([...percentages].sort((a, b) => Number(a) - Number(b)));
});

test("complaint 23: what is larger than the server takes is refused here, with the limit, and alone", async () => {
  const limits = { ...LIMITS, max_message_bytes: 400 };
  const { server, client, peer } = await connected({}, { limits });
  const small = client.call("echo", "a");
  const large = client.call("echo", "é".repeat(200));
  await expect(large).rejects.toBeInstanceOf(PayloadTooLargeError);
  await expect(large).rejects.toMatchObject({
    details: { limit: 400, size: expect.any(Number) },
    outcomeUnknown: false,
    origin: "client",
  });
  const request = await peer.expect("request");
  expect(request).toMatchObject({ payload: "a" });
  peer.send({ type: "response", request_id: request.id, result: "a" });
  expect(await small).toBe("a");
  await read(peer); // nothing else was sent
  expect(server.connections).toBe(1);
});

test("complaint 24: each request carries the trace of its own caller, also when it is sent again", async () => {
  let active: string | undefined;
  const warnings: string[] = [];
  const asked: string[] = [];
  const { server, client, peer } = await connected({
    onWarning: (text) => warnings.push(text),
    traceparent: (action, id) => {
      asked.push(`${action} ${id}`);
      if (action === "broken") throw new Error("no tracer");
      return active;
    },
  });
  const calls: Promise<unknown>[] = [];
  active = TRACE(1);
  calls.push(client.call("a", undefined, { id: "a" }));
  active = TRACE(2);
  calls.push(client.call("b", undefined, { id: "b" }));
  calls.push(client.call("c", undefined, { id: "c", traceparent: TRACE(3) }));
  active = undefined;
  calls.push(client.call("d", undefined, { id: "d" }));
  calls.push(client.call("broken", undefined, { id: "e" }));
  active = "x".repeat(257);
  calls.push(client.call("f", undefined, { id: "f" }));
  const wanted = [TRACE(1), TRACE(2), TRACE(3), undefined, undefined, undefined];
  const sent = async (from: Peer) => {
    const requests = [];
    for (const _ of wanted) requests.push(await from.expect("request"));
    return requests;
  };
  const traces = (requests: object[]) =>
    requests.map((request) => (request as { traceparent?: string }).traceparent);
  expect(traces(await sent(peer))).toEqual(wanted);
  peer.drop();
  const second = await server.welcomed();
  const again = await sent(second);
  expect(traces(again)).toEqual(wanted);
  for (const { id } of again) second.send({ type: "response", request_id: id, result: null });
  await Promise.all(calls);
  expect(asked).toEqual(["a a", "b b", "d d", "broken e", "f f"]);
  expect(warnings).toHaveLength(2);
});

test("complaint 26: fifty thousand chunks are all seen, once and in order, over drops, reloads and restarts", async () => {
  const last = 50_002;
  const log = (seq: number) => {
    if (seq === 1) return acknowledgment("a");
    return seq === 2 ? processing("a", 2) : chunk("a", seq, `token ${seq}`);
  };
  const server = await TestServer.start();
  let cuts = 0;

  /** Answers each connection's attach with the log from there, and cuts it short. */
  const serve = async (): Promise<void> => {
    for (;;) {
      const peer = await server.welcomed();
      const asked = await peer.expect("attach");
      const after = Number(asked.after_seq);
      const end = Math.min(last, after + 1 + ((++cuts * 7_919) % 3_000));
      peer.send(snapshotMessage("a", { last_seq: last }));
      for (let seq = after + 1; seq <= end; seq++) peer.send(log(seq));
      if (end === last) {
        peer.send(complete("a", last + 1, "whole"));
        return;
      }
      peer.send({ type: "ping" });
      while ((await peer.next()).type !== "pong"); // it has read all; or it detached, and is gone
      if (cuts % 3 === 0) peer.close(1012);
      else peer.drop();
    }
  };

  // The page is closed in the middle, and its reload begins anew from the id alone.
  const seen: number[][] = [];
  for (const reload of [20_000, Number.POSITIVE_INFINITY]) {
    const client = server.client();
    const serving = serve(); // for ever, where the page goes first
    const numbers: number[] = [];
    seen.push(numbers);
    for await (const event of client.attach("a")) {
      if (event.kind === "chunk") numbers.push(event.seq);
      if (numbers.length === reload) break;
    }
    if (reload === Number.POSITIVE_INFINITY) await serving;
    await client.close();
  }
  const [first = [], whole = []] = seen;
  expect(first).toEqual(Array.from({ length: 20_000 }, (_, i) => i + 3));
  expect(whole).toEqual(Array.from({ length: 50_000 }, (_, i) => i + 3));
  expect(cuts).toBeGreaterThan(20);
}, 60_000);
