// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { ConflictError, NotFoundError } from "../../src/errors.js";
import {
  acknowledgment,
  Bench,
  chunk,
  complete,
  failed,
  processing,
  progress,
  refusal,
  snapshotMessage,
  taken,
  told,
} from "./bench.js";

const OTHER = "2026-11-24T00:00:00.000Z";

describe("events", () => {
  // clause: 5.5.4, 9.2.2, 9.2.4
  test("a log is told from the acknowledgment to its end (9.2.2)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    const reader = bench.iterate(state);
    bench.server(
      acknowledgment("a"),
      processing("a", 2),
      progress("a", 1, 1, { percentage: 5, message: "page 1", details: null }),
      chunk("a", 3, [1]),
      {
        type: "status",
        request_id: "a",
        seq: 4,
        status: "retrying",
        attempt: 1,
        chunks_kept_to: 3,
        retry_at: "2026-11-23T18:43:20.010Z",
        error: { code: "INTERNAL_ERROR", message: "lost", retryable: false, retry_after_ms: 1 },
      },
      complete("a", 5, { rows: 1 }),
    );
    expect(taken(reader)).toEqual([
      { kind: "status", seq: 1, status: "queued", attempt: 0, chunksKeptTo: 0 },
      { kind: "status", seq: 2, status: "processing", attempt: 1, chunksKeptTo: 0 },
      {
        kind: "progress",
        attempt: 1,
        version: 1,
        percentage: 5,
        message: "page 1",
        details: null,
        updatedAt: new Date("2026-11-23T18:40:00.120Z"),
      },
      { kind: "chunk", seq: 3, attempt: 1, data: [1] },
      {
        kind: "status",
        seq: 4,
        status: "retrying",
        attempt: 1,
        chunksKeptTo: 3,
        retryAt: new Date("2026-11-23T18:43:20.010Z"),
        error: { code: "INTERNAL_ERROR", message: "lost", retryable: false, retryAfterMs: 1 },
      },
    ]);
    expect([reader.isOver, reader.error]).toEqual([true, undefined]);
    expect(state.outcome).toEqual({ ending: "event", result: { rows: 1 } });
  });

  // clause: 9.2.5, 9.8.2
  test("a terminal error ends the iteration without raising, and carries the attempt (9.2.5)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const reader = bench.iterate(bench.attach("a"));
    bench.server(snapshotMessage("a"), acknowledgment("a"), processing("a", 2, 7), failed("a", 3));
    expect([reader.isOver, reader.error]).toEqual([true, undefined]);
    expect(state.outcome?.error).toMatchObject({ attempt: 7, executed: false, requestId: "a" });
  });

  // clause: 10.30.1
  test("a repeat is dropped (10.30.1)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    const reader = bench.iterate(state);
    bench.server(acknowledgment("a"), chunk("a", 2), chunk("a", 2), chunk("a", 1), chunk("a", 3));
    expect(told(reader)).toEqual(["queued", "chunk 2", "chunk 3"]);
  });

  test("frames of requests that nobody knows are ignored", () => {
    const bench = Bench.ready();
    bench.server(
      acknowledgment("x"),
      chunk("x", 2),
      complete("x", 3),
      progress("x", 1),
      failed("x", 4),
    );
    bench.server(
      snapshotMessage("x"),
      snapshotMessage("x", {}, "cancel"),
      refusal("attach", "x", "NOT_FOUND"),
    );
    expect(bench.closes).toEqual([]);
    expect(bench.said()).toEqual([]);
  });

  test("an error that answers nothing is counted", () => {
    const bench = Bench.ready();
    bench.server({
      type: "error",
      error: { code: "VALIDATION_ERROR", message: "", retryable: false },
    });
    expect(bench.protocol.ignored).toBe(1);
  });

  // clause: 2.5.4
  test("a message of unknown type takes its number (2.5.4)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    const reader = bench.iterate(state);
    bench.server(acknowledgment("a"), { type: "hint", request_id: "a", seq: 2 }, chunk("a", 3));
    expect(told(reader)).toEqual(["queued", "chunk 3"]);
    bench.server(
      { type: "hint", request_id: "a", seq: 9 },
      { type: "hint", request_id: "b", seq: 1 },
    );
    bench.reconnect();
    expect(bench.said()).toEqual(["request a", "attach a after 3"].slice(1));
  });

  // clause: 2.5.9
  test("an unknown status is no end (2.5.9)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server({ ...(processing("a", 2) as object), status: "sleeping" });
    expect(state.outcome).toBeUndefined();
  });
});

describe("gaps", () => {
  // clause: 10.26.1, 10.27.1, 10.30.2, 10.30.3
  test("the dialogue of PROTOCOL 11.11: read again once, late frames ignored", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    const reader = bench.iterate(state);
    bench.server(acknowledgment("a"), processing("a", 2), chunk("a", 3));
    bench.take();
    bench.server(chunk("a", 5));
    expect(bench.said()).toEqual(["attach a after 3"]);
    bench.server(complete("a", 6));
    expect(state.outcome).toBeUndefined();
    bench.server(snapshotMessage("a", { status: "completed", last_seq: 6 }));
    expect(state.outcome).toBeUndefined(); // 10.27
    bench.server(chunk("a", 4), chunk("a", 5), complete("a", 6));
    expect(told(reader)).toEqual(["queued", "processing 1", "chunk 3", "chunk 4", "chunk 5"]);
    expect(state.outcome?.result).toBe("done");
  });

  // clause: 10.30.4
  test("the third in a row closes with 4400 (10.30.4)", () => {
    const bench = Bench.ready();
    bench.stored("a");
    for (let gap = 0; gap < 2; gap++) {
      bench.server(chunk("a", 5));
      expect(bench.said()).toEqual(["attach a after 1"]);
      bench.server(snapshotMessage("a", { last_seq: 9 }));
    }
    bench.server(chunk("a", 5));
    expect(bench.closes).toEqual([{ link: 1, code: 4400 }]);
    bench.retry();
    bench.take();
    bench.welcome();
    expect(bench.said()).toEqual(["attach a after 1"]);
  });

  test("an advance between them makes the next gap a first one", () => {
    const bench = Bench.ready();
    bench.stored("a");
    for (let seq = 2; seq < 8; seq++) {
      bench.server(chunk("a", seq + 5), snapshotMessage("a", { last_seq: 90 }), chunk("a", seq));
    }
    expect(bench.closes).toEqual([]);
  });
});

describe("late frames", () => {
  // clause: 10.26.1
  test("what comes between an attach and its snapshot is of the old cursor (10.26)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(chunk("a", 2), chunk("a", 3));
    const reader = bench.iterate(state);
    expect(bench.said()).toEqual(["attach a after 0"]);
    bench.server(chunk("a", 4), acknowledgment("a"));
    expect(told(reader)).toEqual([]);
    bench.server(snapshotMessage("a", { last_seq: 4 }));
    bench.server(acknowledgment("a"), chunk("a", 2), chunk("a", 3), chunk("a", 4));
    expect(told(reader)).toEqual(["queued", "chunk 2", "chunk 3", "chunk 4"]);
    expect(state.last).toBe(4);
  });

  // clause: 10.26.1
  test("two attaches in a row: only the second snapshot opens the new cursor", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(chunk("a", 2));
    const reader = bench.iterate(state);
    bench.snapshot(state);
    expect(bench.said()).toEqual(["attach a after 0", "attach a after 0"]);
    bench.server(snapshotMessage("a", { last_seq: 2 }), acknowledgment("a"));
    expect(told(reader)).toEqual([]);
    bench.server(snapshotMessage("a", { last_seq: 2 }), acknowledgment("a"), chunk("a", 2));
    expect(told(reader)).toEqual(["queued", "chunk 2"]);
  });

  test("the answer to a cancel opens no cursor", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.iterate(state);
    bench.server(chunk("a", 2));
    bench.cancel(state);
    const reader = bench.iterate(state);
    bench.server(snapshotMessage("a", {}, "cancel"), acknowledgment("a"));
    expect(told(reader)).toEqual([]);
  });
});

describe("attaching", () => {
  // clause: 4.3.12, 10.29.2, 10.29.3
  test("a refusal with NOT_FOUND or CONFLICT ends the handle, and nothing begins at 0 (10.29, 10.33)", () => {
    const bench = Bench.ready();
    const [a, b] = [bench.attach("a"), bench.attach("b")];
    const reader = bench.iterate(a);
    bench.take();
    bench.server(refusal("attach", "a", "NOT_FOUND"));
    bench.server(refusal("attach", "b", "CONFLICT", { retryable: true, details: { last_seq: 2 } }));
    expect(a.outcome?.error).toBeInstanceOf(NotFoundError);
    expect(reader.error).toBeInstanceOf(NotFoundError);
    expect(b.outcome?.error).toBeInstanceOf(ConflictError);
    expect(bench.said()).toEqual([]);
  });

  // clause: 10.33.3
  test("a log that is removed under a reader ends it, without having been asked (10.33)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(refusal("attach", "a", "NOT_FOUND"));
    expect(state.outcome?.error).toBeInstanceOf(NotFoundError);
  });

  // clause: 4.3.13
  test("a retryable refusal is asked again (4.3.13)", () => {
    const bench = Bench.ready();
    const state = bench.attach("a");
    bench.take();
    bench.server(refusal("attach", "a", "UNAVAILABLE", { retryable: true, retry_after_ms: 200 }));
    bench.advance(199);
    expect(bench.said()).toEqual([]);
    bench.advance(1);
    expect(bench.said()).toEqual(["attach a after 0"]);
    expect(state.outcome).toBeUndefined();
  });

  test("two handles of one id share one cursor, and the second begins at 1", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const first = bench.iterate(state);
    bench.server(snapshotMessage("a"), acknowledgment("a"), chunk("a", 2), chunk("a", 3));
    expect(bench.attach("a")).toBe(state);
    bench.take();
    const second = bench.iterate(state);
    expect(bench.said()).toEqual(["attach a after 0"]);
    bench.server(snapshotMessage("a", { last_seq: 3 }));
    bench.server(
      acknowledgment("a"),
      chunk("a", 2),
      chunk("a", 3),
      chunk("a", 4),
      complete("a", 5),
    );
    expect(told(first)).toEqual(["queued", "chunk 2", "chunk 3", "chunk 4"]);
    expect(told(second)).toEqual(["queued", "chunk 2", "chunk 3", "chunk 4"]);
  });

  test("after a drop both go on after the lowest position", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const first = bench.iterate(state);
    bench.server(snapshotMessage("a"), acknowledgment("a"), chunk("a", 2), chunk("a", 3));
    const second = bench.iterate(state);
    bench.server(snapshotMessage("a", { last_seq: 3 }), acknowledgment("a"));
    bench.take();
    bench.reconnect();
    expect(bench.said()).toEqual(["attach a after 1"]);
    bench.server(
      snapshotMessage("a", { last_seq: 3 }),
      chunk("a", 2),
      chunk("a", 3),
      complete("a", 4),
    );
    expect(told(first)).toEqual(["queued", "chunk 2", "chunk 3"]);
    expect(told(second)).toEqual(["queued", "chunk 2", "chunk 3"]);
  });

  // clause: 9.5.2
  test("a resume works with no event at all (9.5.2)", () => {
    const bench = Bench.ready();
    bench.attach("a");
    bench.reconnect();
    expect(bench.said()).toEqual(["attach a after 0"]);
  });

  // clause: 9.2.6, 10.27.2
  test("a finished log can be read again, and its end is its own", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(chunk("a", 2), complete("a", 3));
    const again = bench.protocol.revive(state);
    const reader = bench.iterate(again);
    expect(bench.said()).toEqual(["attach a after 0"]);
    bench.server(snapshotMessage("a", { status: "completed", last_seq: 3 }));
    bench.server(acknowledgment("a"), chunk("a", 2));
    expect(reader.isOver).toBe(false);
    bench.server(complete("a", 3, "another"));
    expect(told(reader)).toEqual(["queued", "chunk 2"]);
    expect(reader.isOver).toBe(true);
    expect(state.outcome?.result).toBe("done");
  });
});

describe("incarnations", () => {
  // clause: 10.32.2, 10.32.3
  test("another created_at in a snapshot ends the handle with NOT_FOUND (10.32, 11.14)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const reader = bench.iterate(state);
    bench.server(snapshotMessage("a"), acknowledgment("a"));
    bench.reconnect();
    bench.take();
    bench.server(snapshotMessage("a", { created_at: OTHER, last_seq: 6 }));
    bench.server(chunk("a", 2, "of another request"));
    expect(told(reader)).toEqual(["queued"]);
    expect(reader.error).toBeInstanceOf(NotFoundError);
    expect(state.outcome?.error).toBeInstanceOf(NotFoundError);
    expect(bench.said()).toEqual(["detach a"]);
  });

  // clause: 10.32.2
  test("in the acknowledgment of a replay too", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(chunk("a", 2));
    const reader = bench.iterate(state);
    bench.server(snapshotMessage("a", { last_seq: 2 }), acknowledgment("a", { created_at: OTHER }));
    expect(reader.error).toBeInstanceOf(NotFoundError);
  });

  test("and in the answer to a cancel", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.cancel(state);
    bench.server(snapshotMessage("a", { created_at: OTHER }, "cancel"));
    expect(state.outcome?.error).toBeInstanceOf(NotFoundError);
  });

  test("a log that is read again after its end cannot become another's", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(complete("a", 2));
    const reader = bench.iterate(bench.protocol.revive(state));
    bench.server(snapshotMessage("a", { created_at: OTHER, last_seq: 2 }), acknowledgment("a"));
    expect(reader.error).toBeInstanceOf(NotFoundError);
    expect(state.outcome?.result).toBe("done");
  });
});

describe("progress", () => {
  function following(): [Bench, ReturnType<Bench["iterate"]>] {
    const bench = Bench.ready();
    const reader = bench.iterate(bench.submit("a"));
    bench.server(acknowledgment("a"), processing("a", 2));
    told(reader);
    return [bench, reader];
  }

  // clause: 6.3.4, 10.36.2
  test("live, it is told at once, and the newest wins (10.36)", () => {
    const [bench, reader] = following();
    bench.server(progress("a", 3));
    expect(told(reader)).toEqual(["progress 1.3"]);
    bench.server(progress("a", 2), progress("a", 3), progress("a", 4), progress("a", 5));
    expect(told(reader)).toEqual(["progress 1.5"]);
    bench.server(progress("a", 1, 2), progress("a", 9, 1));
    expect(told(reader)).toEqual(["progress 2.1"]);
  });

  test("it keeps its one place in the queue", () => {
    const [bench, reader] = following();
    bench.server(progress("a", 1), chunk("a", 3), progress("a", 2), chunk("a", 4));
    expect(told(reader)).toEqual(["progress 1.2", "chunk 3", "chunk 4"]);
  });

  // clause: 10.36.2, 10.36.3
  test("that of a snapshot counts too", () => {
    const bench = Bench.ready();
    const reader = bench.iterate(bench.attach("a"));
    const state = { attempt: 1, version: 9, updated_at: "2026-11-23T18:40:11.700Z" };
    bench.server(snapshotMessage("a", { last_seq: 2, progress: state }), acknowledgment("a"));
    expect(told(reader)).toEqual(["queued"]);
    bench.server(processing("a", 2), progress("a", 9), progress("a", 8));
    expect(told(reader)).toEqual(["processing 1", "progress 1.9"]);
  });

  test("in a replay it waits for the beginning of its attempt", () => {
    const bench = Bench.ready();
    const reader = bench.iterate(bench.attach("a"));
    bench.server(snapshotMessage("a", { last_seq: 5, attempt: 2 }), acknowledgment("a"));
    bench.server(processing("a", 2), progress("a", 1, 2), chunk("a", 3));
    expect(told(reader)).toEqual(["queued", "processing 1", "chunk 3"]);
    bench.server(processing("a", 4, 2), chunk("a", 5));
    expect(told(reader)).toEqual(["processing 2", "progress 2.1", "chunk 5"]);
  });

  // clause: 10.27.3
  test("or for the last number of the snapshot", () => {
    const bench = Bench.ready();
    const reader = bench.iterate(bench.attach("a"));
    bench.server(snapshotMessage("a", { last_seq: 2 }), progress("a", 1, 3), acknowledgment("a"));
    expect(told(reader)).toEqual(["queued"]);
    bench.server(chunk("a", 2));
    expect(told(reader)).toEqual(["chunk 2", "progress 3.1"]);
  });

  test("the last one comes before the end", () => {
    const bench = Bench.ready();
    const reader = bench.iterate(bench.attach("a"));
    bench.server(snapshotMessage("a", { last_seq: 9 }), progress("a", 4, 3), acknowledgment("a"));
    bench.server(complete("a", 2));
    expect(told(reader)).toEqual(["queued", "progress 3.4"]);
  });
});
