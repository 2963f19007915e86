// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { acknowledgment, Bench, chunk, complete, snapshotMessage, told } from "./bench.js";

function chunks(from: number, to: number, data?: unknown): object[] {
  return Array.from({ length: to - from + 1 }, (_, index) => chunk("a", from + index, data));
}

describe("an iterator that is slow", () => {
  // clause: 6.4.4
  test("pauses the reading when it is full, and goes on from its place (6.4.4)", () => {
    const bench = Bench.ready({ maxIteratorEvents: 4 });
    const state = bench.submit("a");
    const reader = bench.iterate(state);
    bench.take();
    bench.server(acknowledgment("a"), ...chunks(2, 6));
    expect(reader.position).toBe(4);
    expect(bench.said()).toEqual(["detach a"]);
    bench.server(...chunks(7, 9)); // on their way
    reader.pop();
    bench.touch(state);
    expect(bench.said()).toEqual([]);
    reader.pop();
    bench.touch(state);
    expect(bench.said()).toEqual(["attach a after 4"]);
    bench.server(snapshotMessage("a", { last_seq: 9 }), ...chunks(5, 9));
    expect(told(reader)).toEqual(["chunk 3", "chunk 4", "chunk 5", "chunk 6"]);
    expect(reader.position).toBe(6);
  });

  test("is full by length too, and one event always fits", () => {
    const bench = Bench.ready({ maxIteratorBytes: 200 });
    const state = bench.submit("a");
    const reader = bench.iterate(state);
    bench.server(acknowledgment("a"));
    told(reader);
    bench.server(chunk("a", 2, "x".repeat(1_000)), chunk("a", 3));
    expect(reader.position).toBe(2);
    expect(told(reader)).toEqual(["chunk 2"]);
    expect(reader.isHungry).toBe(true);
  });

  // clause: 6.4.4
  test("does not hold up another one, which goes on", () => {
    const bench = Bench.ready({ maxIteratorEvents: 2 });
    const state = bench.submit("a");
    const [slow, quick] = [bench.iterate(state), bench.iterate(state)];
    const quickTold: string[] = [];
    bench.take();
    bench.server(acknowledgment("a"));
    quickTold.push(...told(quick));
    for (const message of chunks(2, 6)) {
      bench.server(message);
      quickTold.push(...told(quick));
    }
    expect(quickTold).toEqual(["queued", "chunk 2", "chunk 3", "chunk 4", "chunk 5", "chunk 6"]);
    expect(slow.position).toBe(2);
    expect(bench.said()).toEqual([]);
    expect(told(slow)).toEqual(["queued", "chunk 2"]);
    bench.touch(state);
    expect(bench.said()).toEqual(["attach a after 2"]);
    bench.server(snapshotMessage("a", { last_seq: 6 }), chunk("a", 3), chunk("a", 4));
    expect(told(slow)).toEqual(["chunk 3", "chunk 4"]);
    bench.touch(state);
    bench.server(chunk("a", 5), chunk("a", 6));
    expect(told(quick)).toEqual([]);
    expect(told(slow)).toEqual(["chunk 5", "chunk 6"]);
  });

  test("does not hold up who waits for the result", () => {
    const bench = Bench.ready({ maxIteratorEvents: 2 });
    const state = bench.submit("a");
    const reader = bench.iterate(state);
    state.waiters += 1;
    bench.touch(state);
    bench.take();
    bench.server(acknowledgment("a"), ...chunks(2, 5), complete("a", 6));
    expect(state.outcome?.result).toBe("done");
    expect(reader.isOver).toBe(false);
    told(reader);
    bench.touch(state);
    expect(bench.said()).toEqual(["attach a after 2"]);
    bench.server(snapshotMessage("a", { last_seq: 6 }), ...chunks(3, 4));
    expect(told(reader)).toEqual(["chunk 3", "chunk 4"]);
  });

  test("is not attached on a new connection before it is hungry", () => {
    const bench = Bench.ready({ maxIteratorEvents: 2 });
    const state = bench.submit("a");
    const reader = bench.iterate(state);
    bench.server(acknowledgment("a"), ...chunks(2, 5));
    bench.take();
    bench.reconnect();
    expect(bench.said()).toEqual([]);
    told(reader);
    bench.touch(state);
    expect(bench.said()).toEqual(["attach a after 2"]);
  });

  test("a paused request still counts as in flight", () => {
    const bench = Bench.ready(
      { maxIteratorEvents: 2 },
      { limits: { ...limits, max_in_flight: 1 } },
    );
    bench.iterate(bench.submit("a"));
    bench.server(acknowledgment("a"), ...chunks(2, 3));
    bench.submit("b");
    expect(bench.said()).toEqual(["request a", "detach a"]);
  });
});

describe("nobody iterates", () => {
  test("the first events are kept for the first iteration, and the log need not be read again", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    const first = bench.protocol.openPassiveReader(state);
    bench.server(acknowledgment("a"), ...chunks(2, 10));
    bench.take();
    const reader = bench.protocol.openReader(state, first, bench.now);
    bench.flush();
    expect(told(reader)).toHaveLength(10);
    expect(bench.said()).toEqual([]);
    bench.server(complete("a", 11));
    expect(reader.isOver).toBe(true);
  });

  test("what is beyond them is dropped, and read again behind them", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    const first = bench.protocol.openPassiveReader(state);
    bench.server(acknowledgment("a"), ...chunks(2, 100));
    expect(state.last).toBe(100); // it is followed all the same
    bench.take();
    const reader = bench.protocol.openReader(state, first, bench.now);
    bench.flush();
    expect(bench.said()).toEqual(["attach a after 64"]);
    bench.server(snapshotMessage("a", { last_seq: 100 }), ...chunks(65, 100));
    expect(told(reader)).toHaveLength(100);
  });

  test("a short log that has ended is told from memory", () => {
    const bench = Bench.ready();
    const state = bench.submit("a");
    const first = bench.protocol.openPassiveReader(state);
    bench.server(acknowledgment("a"), chunk("a", 2), complete("a", 3));
    bench.take();
    const reader = bench.protocol.openReader(bench.protocol.revive(state), first, bench.now);
    bench.flush();
    expect(told(reader)).toEqual(["queued", "chunk 2"]);
    expect(reader.isOver).toBe(true);
    expect(bench.said()).toEqual([]);
  });
});

test("an iterator that leaves gives its place up", () => {
  const bench = Bench.ready();
  const state = bench.stored("a");
  bench.server(...chunks(2, 3));
  const reader = bench.iterate(state);
  bench.server(snapshotMessage("a", { last_seq: 3 }), acknowledgment("a"));
  bench.take();
  bench.leave(state, reader);
  bench.reconnect();
  expect(bench.said()).toEqual(["attach a after 3"]);
});

const limits = {
  max_message_bytes: 1_048_576,
  max_depth: 64,
  messages_per_minute: 6_000,
  message_burst: 1_000,
  max_log_bytes: 67_108_864,
  id_retention_ms: 604_800_000,
};
