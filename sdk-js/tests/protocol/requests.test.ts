// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import {
  ConflictError,
  HandlerError,
  InternalError,
  NotFoundError,
  PayloadTooLargeError,
  QueueFullError,
  RateLimitedError,
  RequestCancelledError,
  ValidationError,
} from "../../src/errors.js";
import {
  acknowledgment,
  Bench,
  CREATED,
  chunk,
  complete,
  errorInfo,
  failed,
  LIMITS,
  processing,
  refusal,
  snapshotMessage,
  summary,
} from "./bench.js";

const response = (id: string, result: unknown = 1) => ({
  type: "response",
  request_id: id,
  result,
});

describe("submitting", () => {
  test("a quick request ends with its response, and has no log (10.11)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a", { payload: { x: 1 } });
    expect(bench.take()).toEqual([
      { type: "request", id: "a", action: "report", payload: { x: 1 } },
    ]);
    bench.server(response("a", { y: 2 }));
    expect(state.outcome).toEqual({ ending: "answer", result: { y: 2 } });
    const reader = bench.iterate(state);
    expect([reader.isOver, reader.error]).toEqual([true, undefined]);
    expect(bench.snapshot(state).error).toBeInstanceOf(NotFoundError);
    expect(bench.said()).toEqual([]);
  });

  // clause: 10.9.4
  test("a quick handler that failed is an answer (10.9)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.server({ ...refusal("request", "a", "HANDLER_ERROR"), executed: true });
    expect(state.outcome).toMatchObject({ ending: "answer" });
    expect(state.outcome?.error).toBeInstanceOf(HandlerError);
    expect(state.outcome?.error).toMatchObject({
      executed: true,
      requestId: "a",
      origin: "server",
    });
  });

  // clause: 10.4.1
  test("the refusal of a request that was sent once is final, even a retryable one (10.4)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.server(refusal("request", "a", "RATE_LIMITED", { retryable: true, retry_after_ms: 7 }));
    expect(state.outcome?.error).toBeInstanceOf(RateLimitedError);
    expect(state.outcome?.error).toMatchObject({
      retryable: true,
      retryAfterMs: 7,
      outcomeUnknown: false,
    });
    expect(state.outcome?.ending).toBe("loss");
  });

  // clause: 2.5.7, 2.5.8, 7.1.4
  test("an unknown code is an InternalError with its raw code and retryable (7.1.4)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.server(refusal("request", "a", "TOO_COLD", { retryable: true }));
    expect(state.outcome?.error).toBeInstanceOf(InternalError);
    expect(state.outcome?.error).toMatchObject({ code: "TOO_COLD", retryable: true });
  });

  // clause: 2.3.1, 2.3.2, 5.1.2
  test.each([
    ["an id", { id: "a/b" }, "/id"],
    ["an action", { id: "a", action: "1" }, "/action"],
    ["metadata", { id: "a", metadata: { k: "x".repeat(513) } }, "/metadata/k"],
    ["a priority", { id: "a", priority: 10 }, "/priority"],
    ["a big integer", { id: "a", payload: { n: [1, 2 ** 53] } }, "/payload/n/1"],
    ["NaN", { id: "a", payload: Number.NaN }, "/payload"],
    ["a lone surrogate", { id: "a", payload: { "a/b": "\ud800" } }, "/payload/a~1b"],
    ["a lone surrogate in a key", { id: "a", payload: [{ "\udc00": 1 }] }, "/payload/0"],
    ["a BigInt", { id: "a", payload: { n: 1n } }, "/payload/n"],
  ])("%s that is bad is told at once, with its place", (_what, fields, pointer) => {
    const bench = Bench.ready();
    const { id, ...more } = { ...fields };
    expect(() => bench.submit(id, more)).toThrow(ValidationError);
    try {
      bench.submit(id, more);
    } catch (error) {
      expect(error).toMatchObject({ origin: "client", details: { pointer } });
    }
    expect(bench.said()).toEqual([]);
    bench.submit("a", { action: "report" }); // the id is still free
  });

  test("a value that refers to itself is told", () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(() => Bench.ready().submit("a", { payload: cycle })).toThrow(ValidationError);
  });

  test("the same id with the same action and payload is the same request", () => {
    const bench = Bench.ready();
    const state = bench.submit("a", { payload: { x: 1, y: 2 } });
    expect(bench.submit("a", { payload: { y: 2, x: 1 } })).toBe(state);
    expect(bench.said()).toEqual(["request a"]);
    expect(() => bench.submit("a", { payload: { x: 1 } })).toThrow(ConflictError);
    expect(() => bench.submit("a", { payload: { x: 1, y: 2 }, action: "other" })).toThrow(
      ConflictError,
    );
    bench.server(response("a"));
    bench.submit("a", { payload: null }); // it was not stored, so the id means nothing
    expect(bench.said()).toEqual(["request a"]);
  });
});

describe("sending again", () => {
  // clause: 5.1.7, 9.5.1, 9.5.2, 10.6.1
  test("what is not answered is sent again in its order, before what is new (9.5.1, 10.6)", () => {
    const bench = Bench.ready();
    for (const id of ["b", "a", "c"]) bench.submit(id);
    bench.server(acknowledgment("a"));
    bench.take();
    bench.closed();
    bench.submit("d");
    bench.attach("e");
    bench.retry();
    bench.take();
    bench.welcome();
    expect(bench.said()).toEqual([
      "request b again",
      "request c again",
      "attach a after 1",
      "attach e after 0",
      "request d",
    ]);
  });

  // clause: 9.5.3
  test("a request that was never sent is sent without `resend`", () => {
    const bench = new Bench();
    bench.submit("a");
    bench.closed();
    bench.retry();
    bench.take();
    bench.welcome();
    expect(bench.take()).toEqual([{ type: "request", id: "a", action: "report" }]);
  });

  // clause: 10.4.2
  test("the dialogue of PROTOCOL 11.15: a refusal of what was sent twice is not final (10.4)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.reconnect();
    expect(bench.said()).toEqual(["request a again"]);
    bench.server(refusal("request", "a", "RATE_LIMITED", { retryable: true, retry_after_ms: 800 }));
    bench.advance(799);
    expect(bench.said()).toEqual([]);
    bench.advance(1);
    expect(bench.said()).toEqual(["request a again"]);
    bench.server(acknowledgment("a", { duplicate: true }));
    expect(state.phase).toBe("stored");
  });

  // clause: 9.5.7, 10.4.3
  test("one that is not retryable ends it, and its outcome is unknown (10.4)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.reconnect();
    bench.server(refusal("request", "a", "FORBIDDEN"));
    expect(state.outcome?.error).toMatchObject({ code: "FORBIDDEN", outcomeUnknown: true });
  });

  test("it is not sent again while it waits after a refusal, not even on a new connection", () => {
    const bench = Bench.ready();
    bench.submit("a");
    bench.reconnect();
    bench.server(
      refusal("request", "a", "UNAVAILABLE", { retryable: true, retry_after_ms: 5_000 }),
    );
    bench.take();
    bench.reconnect();
    expect(bench.said()).toEqual([]);
    bench.advance(5_000);
    expect(bench.said()).toEqual(["request a again"]);
  });

  // clause: 9.5.6, 9.5.7, 9.8.3, 10.31.3
  test("an id that may be forgotten is not sent again (10.31)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.closed();
    bench.isUp = false;
    bench.advance(LIMITS.id_retention_ms + 1);
    bench.isUp = true;
    bench.retry();
    bench.take();
    bench.welcome();
    expect(bench.said()).toEqual([]);
    expect(state.outcome?.error).toBeInstanceOf(ConflictError);
    expect(state.outcome?.error).toMatchObject({
      origin: "client",
      outcomeUnknown: true,
      details: { reason: "expired" },
    });
  });

  // clause: 10.39.1, 10.39.2
  test("the first outcome wins (10.39)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.server(response("a", "first"), response("a", "second"), failed("a", 1));
    expect(state.outcome?.result).toBe("first");
  });
});

describe("sizes", () => {
  const limits = { ...LIMITS, max_message_bytes: 100 };

  // clause: 6.5.4, 10.43.2
  test("a request over the limit fails alone, before it is sent (10.43)", () => {
    const bench = Bench.ready({}, { limits });
    const big = bench.submit("a", { payload: "é".repeat(40) });
    const small = bench.submit("b", { payload: "é".repeat(20) });
    expect(bench.said()).toEqual(["request b"]);
    expect(big.outcome?.error).toBeInstanceOf(PayloadTooLargeError);
    const size = Buffer.byteLength(
      JSON.stringify({ type: "request", id: "a", action: "report", payload: "é".repeat(40) }),
    );
    expect(big.outcome?.error).toMatchObject({
      details: { limit: 100, size },
      outcomeUnknown: false,
    });
    expect(small.outcome).toBeUndefined();
  });

  // clause: 10.43.1
  test("one that waited is measured by the welcome of its connection", () => {
    const bench = new Bench();
    const state = bench.submit("a", { payload: "x".repeat(100) });
    bench.welcome({ limits });
    expect(state.outcome?.error).toBeInstanceOf(PayloadTooLargeError);
  });

  // clause: 6.5.5, 10.43.3, 10.43.4
  test("what caused a 1009 is never sent again, all else is (10.43)", () => {
    const bench = Bench.ready();
    const [first, last] = [bench.submit("a"), bench.submit("b")];
    bench.server({ type: "ping" });
    bench.reconnect(1009);
    expect(bench.said()).toEqual(["request a again"]);
    expect(first.outcome).toBeUndefined();
    expect(last.outcome?.error).toBeInstanceOf(PayloadTooLargeError);
  });

  test("a list or a cancel can be the cause too", () => {
    const bench = Bench.ready();
    const listing = bench.list();
    bench.reconnect(1009);
    expect(listing.error).toBeInstanceOf(PayloadTooLargeError);
    const state = bench.stored("a");
    const cancel = bench.cancel(state);
    bench.reconnect(1009);
    expect(cancel.error).toBeInstanceOf(PayloadTooLargeError);
    expect(bench.said()).toEqual(["attach a after 1"]);
  });

  test("an attach that was the last message is asked again", () => {
    const bench = Bench.ready();
    bench.submit("a");
    bench.attach("b");
    bench.reconnect(1009);
    expect(bench.said()).toEqual(["request a again", "attach b after 0"]);
  });
});

describe("limits", () => {
  // clause: 9.6.1, 9.6.3
  test("half of the burst goes at once, the rest by the rate (9.6.1)", () => {
    const limits = { ...LIMITS, message_burst: 5, messages_per_minute: 60 };
    const bench = Bench.ready({}, { limits });
    for (let i = 0; i < 6; i++) bench.submit(`r${i}`);
    expect(bench.said()).toEqual(["request r0", "request r1", "request r2"]);
    bench.advance(999);
    expect(bench.said()).toEqual([]);
    bench.advance(2);
    expect(bench.said()).toEqual(["request r3"]);
    bench.server({ type: "ping" }, { type: "ping" });
    expect(bench.said()).toEqual(["pong", "pong"]);
    bench.live(2_100);
    expect(bench.said()).toEqual(["request r4", "request r5"]);
  });

  // clause: 9.6.2, 9.6.3
  test("no more than max_in_flight are unfinished (9.6.2)", () => {
    const bench = Bench.ready({}, { limits: { ...LIMITS, max_in_flight: 2 } });
    for (const id of ["a", "b", "c", "d"]) bench.submit(id);
    expect(bench.said()).toEqual(["request a", "request b"]);
    bench.server(acknowledgment("a"));
    expect(bench.said()).toEqual([]);
    bench.server(complete("a", 2));
    expect(bench.said()).toEqual(["request c"]);
    bench.server(response("b"));
    expect(bench.said()).toEqual(["request d"]);
  });

  test("while the window is full, what nobody reads is asked for its end", () => {
    const bench = Bench.ready({}, { limits: { ...LIMITS, max_in_flight: 1 } });
    const state = bench.stored("a");
    bench.detach(state);
    expect(bench.said()).toEqual(["detach a"]);
    bench.submit("b");
    bench.advance(4_999);
    expect(bench.said()).toEqual([]);
    bench.advance(1);
    expect(bench.said()).toEqual(["attach a after 1 once"]);
    bench.server(snapshotMessage("a"));
    bench.live(5_000);
    expect(bench.said()).toEqual(["attach a after 1 once"]);
    bench.server(snapshotMessage("a", { status: "completed", last_seq: 2 }), complete("a", 2));
    expect(bench.said()).toEqual(["request b"]);
  });

  // clause: 9.5.3, 9.5.4
  test("the queue is bounded by number (9.5.4)", () => {
    const bench = new Bench({ maxQueue: 2 });
    bench.submit("a");
    bench.submit("b");
    expect(() => bench.submit("c")).toThrow(QueueFullError);
    bench.welcome();
    bench.submit("c");
    expect(bench.said()).toEqual(["hello", "request a", "request b", "request c"]);
  });

  test("and by bytes, but one always fits", () => {
    const bench = new Bench({ maxQueueBytes: 100 });
    bench.submit("a", { payload: "x".repeat(200) });
    expect(() => bench.submit("b")).toThrow(QueueFullError);
  });
});

describe("giving up", () => {
  // clause: 9.5.5
  test("a request that nobody wants any more before it was sent is never sent (9.5.5)", () => {
    const bench = new Bench();
    const state = bench.submit("a");
    bench.detach(state);
    bench.welcome();
    expect(bench.said()).toEqual(["hello"]);
    bench.submit("a", { payload: "another" });
  });

  test("one that was sent is settled in the background, and then let go", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.detach(state);
    bench.reconnect();
    expect(bench.said()).toEqual(["request a", "request a again"].slice(1));
    bench.server(acknowledgment("a"));
    expect(bench.said()).toEqual(["detach a"]);
    bench.reconnect();
    expect(bench.said()).toEqual([]);
  });

  // clause: 10.25.4
  test("detach is sent when the last handle is gone (10.25.4)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.attach("a");
    bench.detach(state);
    expect(bench.said()).toEqual([]);
    bench.detach(state);
    expect(bench.said()).toEqual(["detach a"]);
    bench.server(chunk("a", 2));
    expect(state.last).toBe(1);
    bench.attach("a");
    expect(bench.said()).toEqual(["attach a after 1"]);
  });

  test("a request of elsewhere that is let go is forgotten", () => {
    const bench = Bench.ready();
    const state = bench.attach("a");
    bench.server(snapshotMessage("a"));
    bench.detach(state);
    expect(bench.said()).toEqual(["attach a after 0", "detach a"]);
    bench.reconnect();
    expect(bench.said()).toEqual([]);
    expect(bench.attach("a")).not.toBe(state);
  });
});

describe("cancelling", () => {
  // clause: 10.15.4
  test("a stored request: the answer is the snapshot, the end comes by the log (10.15)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const cancel = bench.cancel(state, "enough");
    expect(bench.take()).toEqual([{ type: "cancel", request_id: "a", reason: "enough" }]);
    bench.server(snapshotMessage("a", { cancel_requested: true }, "cancel"));
    expect([cancel.isAnswered, cancel.error]).toEqual([true, undefined]);
    expect(state.outcome).toBeUndefined();
    bench.server(failed("a", 2, "CANCELLED"));
    expect(state.outcome?.error).toBeInstanceOf(RequestCancelledError);
  });

  // clause: 10.15.4
  test("the terminal event may come before the answer (10.15.4)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const cancel = bench.cancel(state);
    bench.server(complete("a", 2), snapshotMessage("a", { status: "completed" }, "cancel"));
    expect([cancel.isAnswered, cancel.error]).toEqual([true, undefined]);
    expect(state.outcome?.result).toBe("done");
  });

  test("one that has ended needs no message", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.server(response("a"));
    bench.take();
    expect(bench.cancel(state).isAnswered).toBe(true);
    expect(bench.said()).toEqual([]);
  });

  // clause: 10.13.1
  test("the dialogue of PROTOCOL 11.8: behind its request on each new connection (10.13)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    const cancel = bench.cancel(state);
    expect(bench.said()).toEqual(["request a", "cancel a"]);
    bench.reconnect();
    expect(bench.said()).toEqual(["request a again", "cancel a"]);
    bench.server(acknowledgment("a", { duplicate: true }), snapshotMessage("a", {}, "cancel"));
    expect(cancel.isAnswered).toBe(true);
  });

  // clause: 10.13.2, 10.13.3
  test("NOT_FOUND before the request is settled is not believed (10.13)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.reconnect();
    const cancel = bench.cancel(state, "why");
    bench.server(refusal("cancel", "a", "NOT_FOUND"));
    expect([cancel.isAnswered, state.outcome]).toEqual([false, undefined]);
    bench.take();
    bench.server(acknowledgment("a"));
    expect(bench.take()).toEqual([{ type: "cancel", request_id: "a", reason: "why" }]);
  });

  test("NOT_FOUND for a request that was answered at once is success", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    const cancel = bench.cancel(state);
    bench.server(refusal("cancel", "a", "NOT_FOUND"), response("a"));
    expect([cancel.isAnswered, cancel.error]).toEqual([true, undefined]);
  });

  // clause: 4.3.2, 10.2.4, 10.2.5
  test("a refused cancel is no refused request (10.2)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const cancel = bench.cancel(state);
    bench.server(refusal("cancel", "a", "NOT_FOUND"));
    expect(cancel.error).toBeInstanceOf(NotFoundError);
    expect(state.outcome).toBeUndefined();
  });

  // clause: 4.3.13
  test("a retryable refusal is tried again (4.3.13)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const cancel = bench.cancel(state);
    bench.server(refusal("cancel", "a", "UNAVAILABLE", { retryable: true, retry_after_ms: 300 }));
    bench.take();
    bench.advance(300);
    expect(bench.said()).toEqual(["cancel a"]);
    expect(cancel.isAnswered).toBe(false);
  });

  test("a request that was never sent ends here", () => {
    const bench = new Bench();
    const state = bench.submit("a");
    expect(bench.cancel(state, "no").isAnswered).toBe(true);
    expect(state.outcome?.error).toMatchObject({
      code: "CANCELLED",
      origin: "client",
      details: { reason: "no" },
      outcomeUnknown: false,
    });
    bench.welcome();
    expect(bench.said()).toEqual(["hello"]);
  });

  test("a reason that is too long is told at once", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    expect(() => bench.cancel(state, "x".repeat(513))).toThrow(ValidationError);
  });
});

describe("snapshots", () => {
  // clause: 9.2.8
  test("it is read after the call, by an attach at the present position", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(processing("a", 2));
    const asked = bench.snapshot(state);
    expect(bench.said()).toEqual(["attach a after 2"]);
    bench.server(snapshotMessage("a", { last_seq: 2, cancel_requested: true }));
    expect(asked.answer?.request).toMatchObject({
      id: "a",
      lastSeq: 2,
      cancelRequested: true,
      createdAt: new Date(CREATED),
    });
    bench.server(complete("a", 3));
    expect(state.outcome).toBeDefined();
  });

  // clause: 4.5.9
  test("one of an unacknowledged request waits for the acknowledgment (4.5.9)", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    bench.snapshot(state);
    expect(bench.said()).toEqual(["request a"]);
    bench.server(acknowledgment("a"));
    expect(bench.said()).toEqual(["attach a after 1"]);
  });

  test("of a finished request only the answer is asked for", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(complete("a", 2, "r"));
    const asked = bench.snapshot(state);
    expect(bench.said()).toEqual(["attach a after 2 once"]);
    bench.server({ ...snapshotMessage("a", { status: "completed", last_seq: 2 }), result: "r" });
    expect(asked.answer).toMatchObject({ result: "r", request: { status: "completed" } });
  });

  test("it is asked again after a loss, and answered in the order of asking", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const [first, second] = [bench.snapshot(state), bench.snapshot(state)];
    bench.server(snapshotMessage("a", { last_seq: 1 }));
    expect([first.isAnswered, second.isAnswered]).toEqual([true, false]);
    bench.reconnect();
    expect(bench.said()).toEqual(["attach a after 1"]);
    bench.server(snapshotMessage("a", { last_seq: 1 }));
    expect(second.isAnswered).toBe(true);
  });

  // clause: 4.3.12
  test("its refusal ends the handle as that of any attach (4.3.12)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const asked = bench.snapshot(state);
    bench.server(refusal("attach", "a", "NOT_FOUND"));
    expect(asked.error).toBeInstanceOf(NotFoundError);
    expect(state.outcome?.error).toBeInstanceOf(NotFoundError);
  });

  test("after the end, a refusal leaves the outcome as it is", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(complete("a", 2));
    const asked = bench.snapshot(state);
    bench.server(refusal("attach", "a", "NOT_FOUND"));
    expect(asked.error).toBeInstanceOf(NotFoundError);
    expect(state.outcome?.result).toBe("done");
  });
});

describe("lists", () => {
  // clause: 10.2.4
  test("the listing is told by its id", () => {
    const bench = Bench.ready();
    const [first, second] = [bench.list({ status: ["queued"] }), bench.list()];
    expect(bench.take()).toEqual([
      { type: "list", id: "list-1", status: ["queued"] },
      { type: "list", id: "list-2" },
    ]);
    bench.server({ type: "listing", id: "list-2", requests: [summary("a")] });
    expect(second.answer?.requests).toHaveLength(1);
    expect(first.isAnswered).toBe(false);
  });

  test("its refusal is its own (10.2)", () => {
    const bench = Bench.ready();
    const asked = bench.list();
    bench.server({
      type: "error",
      reply_to: "list",
      id: "list-1",
      error: errorInfo("FORBIDDEN"),
    });
    expect(asked.error).toMatchObject({ code: "FORBIDDEN" });
  });

  test("it is asked again on a new connection", () => {
    const bench = Bench.ready();
    bench.list();
    bench.reconnect();
    expect(bench.said()).toEqual(["list list-1"]);
  });
});
