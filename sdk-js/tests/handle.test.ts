// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import {
  type Client,
  DetachedError,
  NotFoundError,
  type RequestEvent,
  type RequestHandle,
  ValidationError,
  WaitTimeoutError,
} from "../src/index.js";
import {
  acknowledgment,
  chunk,
  complete,
  failed,
  processing,
  progress,
  refusal,
  snapshotMessage,
} from "./protocol/bench.js";
import { connected, type Peer } from "./server.js";

async function stored(client: Client, peer: Peer): Promise<RequestHandle> {
  const submitted = client.submit("report");
  await peer.acknowledge();
  return submitted;
}

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

describe("listening", () => {
  test("tells each event of its kind from event 1 on, until it is turned off", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    const [chunks, statuses]: [number[], string[]] = [[], []];
    const seen = new Promise<void>((resolve) => {
      const off = handle.on("chunk", ({ seq }) => {
        chunks.push(seq);
        if (seq === 4) {
          off();
          resolve();
        }
      });
    });
    handle.on("status", ({ status }) => statuses.push(status));
    peer.send(processing(handle.id, 2), chunk(handle.id, 3), chunk(handle.id, 4));
    await seen;
    peer.send(chunk(handle.id, 5), complete(handle.id, 6));
    await handle.result();
    await read(peer);
    expect(chunks).toEqual([3, 4]);
    expect(statuses).toEqual(["queued", "processing"]);
  });

  test("a listener that throws is a warning, and hears what follows", async () => {
    const warnings: string[] = [];
    const { client, peer } = await connected({ onWarning: (text) => warnings.push(text) });
    const handle = await stored(client, peer);
    let heard = 0;
    handle.on("chunk", async () => {
      heard += 1;
      throw new Error("mine");
    });
    peer.send(chunk(handle.id, 2), chunk(handle.id, 3), complete(handle.id, 4));
    await handle.result();
    await expect.poll(() => heard).toBe(2);
    await expect
      .poll(() => warnings)
      .toEqual(Array(2).fill(`a listener of request ${handle.id} threw`));
  });

  test("turned off, it lets go of the log; a detached handle has nothing to hear", async () => {
    const { client, peer } = await connected();
    const handle = client.attach("a");
    const off = handle.on("chunk", () => {});
    await peer.expect("attach");
    peer.send(snapshotMessage("a", { last_seq: 0 }));
    off();
    expect(await peer.next()).toEqual({ type: "detach", request_id: "a" });
    handle.detach();
    expect(() => handle.on("chunk", () => {})).toThrow(DetachedError);
  });
});

describe("iterating", () => {
  test("behind an event that is known yields what follows it, over a drop as well", async () => {
    const { server, client, peer } = await connected();
    const handle = await stored(client, peer);
    const told: string[] = [];
    const reading = (async () => {
      for await (const event of handle.events({ afterSeq: 3 })) told.push(short(event));
    })();
    peer.send(processing(handle.id, 2), chunk(handle.id, 3), chunk(handle.id, 4));
    peer.send({ type: "ping" });
    await peer.expect("pong");
    peer.drop();
    const second = await server.welcomed();
    expect(await second.next()).toEqual({ type: "attach", request_id: handle.id, after_seq: 4 });
    second.send(snapshotMessage(handle.id, { last_seq: 5 }), chunk(handle.id, 5));
    second.send(complete(handle.id, 6));
    await reading;
    expect(told).toEqual(["chunk 4", "chunk 5"]);
    const again: string[] = [];
    const later = (async () => {
      for await (const event of handle.events({ afterSeq: 4 })) again.push(short(event));
    })();
    expect(await second.next()).toEqual({ type: "attach", request_id: handle.id, after_seq: 4 });
    second.send(snapshotMessage(handle.id, { last_seq: 6, status: "completed" }));
    second.send(chunk(handle.id, 5), complete(handle.id, 6));
    await later;
    expect(again).toEqual(["chunk 5"]);
  });

  // clause: 9.2.3, 9.5.2
  test("goes on over a drop, with nothing lost and nothing twice (9.2.3)", async () => {
    const { server, client, peer } = await connected();
    const handle = await stored(client, peer);
    const told = all(handle);
    peer.send(processing(handle.id, 2), chunk(handle.id, 3));
    peer.send({ type: "ping" });
    await peer.expect("pong");
    peer.drop();
    const second = await server.welcomed();
    expect(await second.next()).toEqual({ type: "attach", request_id: handle.id, after_seq: 3 });
    second.send(snapshotMessage(handle.id, { last_seq: 4 }));
    second.send(chunk(handle.id, 3), chunk(handle.id, 4), complete(handle.id, 5));
    expect(await told).toEqual(["queued", "processing", "chunk 3", "chunk 4"]);
    expect(await handle.result()).toBe("done");
  });

  // clause: 9.2.6
  test("twice yields the log from event 1 each time (9.2.6)", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    peer.send(chunk(handle.id, 2), complete(handle.id, 3));
    expect(await all(handle)).toEqual(["queued", "chunk 2"]);
    const again = all(handle);
    expect(await peer.next()).toMatchObject({ type: "attach", after_seq: 0 });
    peer.send(snapshotMessage(handle.id, { status: "completed", last_seq: 3 }));
    peer.send(acknowledgment(handle.id), chunk(handle.id, 2), complete(handle.id, 3));
    expect(await again).toEqual(["queued", "chunk 2"]);
  });

  // clause: 9.2.5, 9.2.7
  test("ends at the end of a failed request, and raises what ends the handle otherwise", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    peer.send(failed(handle.id, 2));
    expect(await all(handle)).toEqual(["queued"]);
    const gone = client.attach("gone");
    await peer.expect("attach");
    peer.send(refusal("attach", "gone", "NOT_FOUND"));
    await expect(all(gone)).rejects.toBeInstanceOf(NotFoundError);
    await expect(gone.result()).rejects.toBeInstanceOf(NotFoundError);
  });

  test("left early lets go, and a later one attaches again", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    for await (const event of handle) {
      expect(short(event)).toBe("queued");
      break;
    }
    expect(await peer.next()).toEqual({ type: "detach", request_id: handle.id });
    const result = handle.result();
    expect(await peer.next()).toEqual({ type: "attach", request_id: handle.id, after_seq: 1 });
    peer.send(snapshotMessage(handle.id, { last_seq: 2 }), complete(handle.id, 2));
    expect(await result).toBe("done");
  });

  test("slowly, over many chunks, is bounded, and tells all of them", async () => {
    const { client, peer } = await connected({ maxIteratorEvents: 10 });
    const handle = await stored(client, peer);
    const log = [
      acknowledgment(handle.id),
      ...Array.from({ length: 100 }, (_, index) => chunk(handle.id, index + 2)),
      complete(handle.id, 102),
    ];
    let isOver = false;
    let attaches = 0;
    const serving = (async () => {
      while (!isOver) {
        const message = await peer.next();
        if (message.type === "attach") {
          attaches += 1;
          peer.send(snapshotMessage(handle.id, { last_seq: 102, status: "completed" }));
          for (const event of log.slice(Number(message.after_seq))) peer.send(event);
        } else if (message.type === "list") return;
        else expect(message.type).toBe("detach");
      }
    })();
    peer.send(...log.slice(1, 60));
    const seqs: number[] = [];
    for await (const event of handle) {
      if (event.kind === "chunk") seqs.push(event.seq);
      await new Promise((resolve) => setImmediate(resolve));
    }
    isOver = true;
    expect(seqs).toEqual(Array.from({ length: 100 }, (_, index) => index + 2));
    expect(attaches).toBeGreaterThan(1);
    void client
      .requests()
      .next()
      .catch(() => {});
    await serving;
  });

  // clause: 9.2.11, 10.19.2
  test("collects the chunks that stand (10.19)", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    const { id } = handle;
    peer.send(processing(id, 2), chunk(id, 3, "page 1"), chunk(id, 4, "page 2"));
    peer.send(
      chunk(id, 5, "half"),
      processing(id, 6, 2, 4),
      chunk(id, 7, "page 3", 2),
      complete(id, 8),
    );
    expect(await handle.chunks()).toEqual(["page 1", "page 2", "page 3"]);
  });

  test("collecting chunks of a request that failed throws its error", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    peer.send(chunk(handle.id, 2), failed(handle.id, 3));
    await expect(handle.chunks()).rejects.toMatchObject({ code: "HANDLER_ERROR" });
  });

  test("tells progress while the request runs", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    const iterator = handle[Symbol.asyncIterator]();
    expect(short((await iterator.next()).value as RequestEvent)).toBe("queued");
    const next = iterator.next();
    peer.send(progress(handle.id, 1, 1, { percentage: 10 }));
    expect((await next).value).toMatchObject({ kind: "progress", percentage: 10 });
    await iterator.return();
  });
});

describe("result", () => {
  test("gives up after its patience, and can be asked again", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    await expect(handle.result({ timeoutMs: 1 })).rejects.toMatchObject({
      name: "WaitTimeoutError",
      requestId: handle.id,
      sent: true,
      acknowledged: true,
    });
    expect(await peer.next()).toEqual({ type: "detach", request_id: handle.id });
    const again = handle.result();
    await peer.expect("attach");
    peer.send(snapshotMessage(handle.id, { last_seq: 1 }), complete(handle.id, 2));
    expect(await again).toBe("done");
  });

  test("can be aborted", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    const controller = new AbortController();
    const result = handle.result({ signal: controller.signal });
    controller.abort();
    await expect(result).rejects.toMatchObject({ name: "AbortError" });
  });

  test("of one waiter that gives up, the others do not hear", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    const other = handle.result();
    await expect(handle.result({ timeoutMs: 1 })).rejects.toBeInstanceOf(WaitTimeoutError);
    peer.send(complete(handle.id, 2));
    expect(await other).toBe("done");
  });
});

describe("snapshot", () => {
  // clause: 9.2.8
  test("gives how the request stands", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    const asked = handle.snapshot();
    await peer.expect("attach");
    peer.send(snapshotMessage(handle.id, { last_seq: 1, status: "processing" }));
    expect((await asked).request).toMatchObject({ id: handle.id, status: "processing" });
  });

  test("gives up after its patience without letting go of the log", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    await expect(handle.snapshot({ timeoutMs: 1 })).rejects.toBeInstanceOf(WaitTimeoutError);
    await peer.expect("attach");
    peer.send(snapshotMessage(handle.id, { last_seq: 1 }), complete(handle.id, 2));
    expect(await handle.result()).toBe("done");
  });
});

describe("detach", () => {
  // clause: 9.2.1, 9.2.10
  test("ends the handle here, and the request goes on", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    const [iterating, result] = [all(handle), handle.result()];
    handle.detach();
    handle.detach();
    await expect(iterating).rejects.toBeInstanceOf(DetachedError);
    await expect(result).rejects.toBeInstanceOf(DetachedError);
    await expect(handle.result()).rejects.toBeInstanceOf(DetachedError);
    await expect(handle.snapshot()).rejects.toBeInstanceOf(DetachedError);
    await expect(handle.cancel()).rejects.toBeInstanceOf(DetachedError);
    await expect(all(handle)).rejects.toBeInstanceOf(DetachedError);
    expect(await peer.next()).toEqual({ type: "detach", request_id: handle.id });
    const again = client.attach(handle.id);
    expect(await peer.next()).toMatchObject({ type: "attach", request_id: handle.id });
    again.detach();
  });

  test("of one handle leaves the others", async () => {
    const { client, peer } = await connected();
    const handle = await stored(client, peer);
    const other = client.attach(handle.id);
    handle.detach();
    peer.send(complete(handle.id, 2));
    expect(await other.result()).toBe("done");
  });
});

test("an id that is none is told by attach", async () => {
  const { client } = await connected();
  for (const id of ["", "a/b", "..", "x".repeat(129)]) {
    expect(() => client.attach(id)).toThrow(ValidationError);
  }
});
