// SPDX-License-Identifier: Apache-2.0
// What a page tells, and what becomes of the connections; time is virtual here, and real in ../browser.
import { describe, expect, test } from "vitest";
import type { PageSignal } from "../../src/page.js";
import { acknowledgment, Bench, chunk, snapshotMessage, told } from "./bench.js";

function tell(bench: Bench, ...signals: PageSignal[]): void {
  for (const signal of signals) bench.protocol.handlePage(signal, bench.now);
  bench.flush();
}

/** Lets time pass without a timer, as for a machine that sleeps; then the one that is due runs. */
function sleep(bench: Bench, ms: number): void {
  bench.now += ms;
  bench.protocol.handleTimeout(bench.now);
  bench.flush();
}

describe("a hidden page", () => {
  // clause: 6.7.7
  test("complaint 17: is patient for 70 s, a visible one for 35 s (6.7.7)", () => {
    const bench = Bench.ready();
    tell(bench, "hidden");
    bench.advance(69_000);
    expect(bench.state.state).toBe("ready");
    bench.advance(1_000);
    expect(bench.state).toMatchObject({ state: "reconnecting", code: 4408 });
  });

  test("waits longer where the server is to be heard less often", () => {
    const bench = Bench.ready({}, { heartbeat: { interval_ms: 90_000, from: "server" } });
    tell(bench, "hidden");
    bench.advance(99_000);
    expect(bench.state.state).toBe("ready");
  });

  test("complaint 17: whose timers come once a minute is not cut while the server is heard", () => {
    const bench = Bench.ready();
    tell(bench, "hidden");
    for (let minute = 0; minute < 30; minute++) {
      for (const second of [10, 35, 55]) {
        bench.now += second === 10 ? 15_000 : second === 35 ? 25_000 : 20_000;
        bench.server({ type: "ping" });
      }
      bench.protocol.handleTimeout(bench.now);
      bench.flush();
    }
    expect(bench.states.filter(({ state }) => state !== "ready")).toEqual([]);
  });

  test("complaint 16: finds out that nobody is there, though its timers come once a minute", () => {
    const bench = Bench.ready();
    tell(bench, "hidden");
    for (let minute = 0; minute < 4 && bench.closes.length === 0; minute++) sleep(bench, 60_000);
    expect(bench.closes).toEqual([{ link: 1, code: 4408 }]);
  });

  // clause: 6.7.8
  test.each(["visible", "online"] as const)(
    "complaint 11: asks at once whether anybody is there when it is told %s (6.7.8)",
    (signal) => {
      const bench = Bench.ready();
      tell(bench, signal === "visible" ? "hidden" : "offline");
      bench.take();
      bench.server({ type: "pong" });
      tell(bench, signal);
      expect(bench.said()).toEqual(["ping"]);
      bench.advance(9_999);
      expect(bench.state.state).toBe("ready");
      bench.advance(1);
      expect(bench.state).toMatchObject({ state: "reconnecting", code: 4408 });
    },
  );

  test("any message is an answer", () => {
    const bench = Bench.ready();
    tell(bench, "hidden", "visible");
    bench.server({ type: "ping" });
    bench.advance(30_000);
    expect(bench.state.state).toBe("ready");
  });

  test("that is told again and again keeps to the first question", () => {
    const bench = Bench.ready();
    tell(bench, "visible");
    bench.advance(6_000);
    tell(bench, "visible");
    bench.advance(4_000);
    expect(bench.state.state).toBe("reconnecting");
  });

  test("while a server goes away, both connections are asked", () => {
    const bench = Bench.ready();
    bench.server({ type: "goaway", reason: "deploy", reconnect_after_ms: 100 });
    bench.advance(100);
    bench.welcome();
    bench.stored("a");
    bench.take();
    tell(bench, "visible");
    expect(bench.said(2)).toEqual(["ping"]);
  });
});

describe("a machine that slept", () => {
  test("asks at once whether anybody is there, and judges by the answer only", () => {
    const bench = Bench.ready();
    sleep(bench, 600_000);
    expect(bench.said()).toEqual(["ping"]);
    expect(bench.state.state).toBe("ready");
    bench.server({ type: "pong" });
    bench.advance(20_000);
    expect(bench.state.state).toBe("ready");
  });

  test("and reconnects after 10 s without one", () => {
    const bench = Bench.ready();
    const reader = bench.iterate(bench.submit("a"));
    bench.server(acknowledgment("a"));
    sleep(bench, 600_000);
    bench.advance(10_000);
    expect(bench.closes).toEqual([{ link: 1, code: 4408 }]);
    bench.retry();
    bench.take();
    bench.welcome();
    expect(bench.said()).toEqual(["attach a after 1"]);
    bench.server(snapshotMessage("a", { last_seq: 3 }), chunk("a", 2), chunk("a", 3));
    expect(told(reader)).toEqual(["queued", "chunk 2", "chunk 3"]);
  });

  test("is noticed within 10 s of being awake, whatever the heartbeat", () => {
    const bench = Bench.ready({}, { heartbeat: { interval_ms: 3_600_000, from: "server" } });
    const due = bench.protocol.nextTimeout ?? Number.POSITIVE_INFINITY;
    expect(due - bench.now).toBeLessThanOrEqual(10_000);
  });
});

describe("without a network", () => {
  test("tries are as rare as they may be, and the first one after it comes at once", () => {
    const bench = Bench.ready({ random: () => 0.5 });
    bench.isUp = false;
    tell(bench, "offline");
    bench.closed();
    const opened = bench.link;
    let tries = 0;
    for (let second = 0; second < 60; second++) {
      bench.advance(1_000);
      if (bench.open.has(bench.link)) {
        tries += 1;
        bench.closed();
      }
    }
    expect(tries).toBeGreaterThan(0); // "offline" may be wrong
    expect(tries).toBeLessThanOrEqual(4);
    tell(bench, "online");
    const before = bench.link;
    bench.advance(250);
    expect(bench.link).toBe(before + 1);
    expect(before).toBe(opened + tries);
  });

  test("the wait that a server asked for is kept, whatever the page tells", () => {
    const bench = new Bench();
    bench.open.delete(1);
    bench.protocol.handleClosed(1, 1006, "the upgrade was refused", bench.now, 30_000);
    bench.flush();
    tell(bench, "online", "visible");
    bench.advance(29_999);
    expect(bench.link).toBe(1);
    bench.advance(1);
    expect(bench.link).toBe(2);
  });

  test("a page that is shown again does not wait for a long retry", () => {
    const bench = Bench.ready({ random: () => 1 });
    tell(bench, "hidden");
    for (let tries = 0; tries < 8; tries++) {
      bench.closed();
      bench.retry();
    }
    bench.closed();
    expect(bench.state).toMatchObject({ state: "reconnecting", retryInMs: 20_000 });
    tell(bench, "visible");
    bench.advance(500);
    expect(bench.state.state).toBe("connecting");
  });

  test("a server that goes away is left when it said, not sooner", () => {
    const bench = Bench.ready();
    bench.server({ type: "goaway", reason: "deploy", reconnect_after_ms: 5_000 });
    tell(bench, "online");
    bench.advance(4_999);
    expect(bench.link).toBe(1);
    bench.advance(1);
    expect(bench.link).toBe(2);
  });
});

describe("a page that is left", () => {
  test("has no socket, and opens none", () => {
    const bench = Bench.ready();
    bench.answersCloses = false;
    tell(bench, "pagehide");
    expect([bench.closes, bench.cuts]).toEqual([[{ link: 1, code: 1000 }], [1]]);
    expect(bench.state).toMatchObject({ state: "reconnecting", reason: "the page was left" });
    expect(bench.protocol.nextTimeout).toBeUndefined();
    sleep(bench, 3_600_000);
    expect(bench.open.size).toBe(0);
  });

  test("complaint 26: and comes back, goes on where it was", () => {
    const bench = Bench.ready();
    const reader = bench.iterate(bench.submit("a"));
    bench.server(acknowledgment("a"));
    const unanswered = bench.submit("b");
    bench.take();
    tell(bench, "pagehide");
    bench.now += 60_000;
    tell(bench, "pageshow");
    bench.advance(0);
    expect(bench.said()).toEqual(["hello"]);
    bench.welcome();
    expect(bench.said()).toEqual(["request b again", "attach a after 1"]);
    expect(bench.state).toEqual({ state: "ready", resumed: true });
    expect([told(reader), unanswered.outcome]).toEqual([["queued"], undefined]);
  });

  test("while it waits for the next try does not try", () => {
    const bench = Bench.ready();
    bench.closed();
    tell(bench, "pagehide");
    bench.advance(60_000);
    expect(bench.link).toBe(1);
    tell(bench, "pageshow");
    bench.advance(0);
    expect(bench.link).toBe(2);
  });

  test("while it waits for a token does not open a socket with it", () => {
    const bench = new Bench();
    bench.closed();
    bench.holdsTokens = true;
    bench.advance(1_000);
    tell(bench, "pagehide");
    bench.protocol.handleToken(2, "late", bench.now);
    bench.flush();
    expect(bench.open.size).toBe(0);
    bench.holdsTokens = false;
    tell(bench, "pageshow");
    bench.advance(0);
    expect([...bench.open]).toEqual([3]);
  });

  test("while a server goes away leaves both connections", () => {
    const bench = Bench.ready();
    bench.server({ type: "goaway", reason: "deploy", reconnect_after_ms: 0 });
    bench.submit("a");
    bench.advance(0);
    tell(bench, "pagehide");
    expect(bench.open.size).toBe(0);
    expect(bench.protocol.nextTimeout).toBeUndefined();
    expect(bench.warnings).toEqual([]);
    tell(bench, "pageshow");
    bench.advance(0);
    bench.welcome();
    expect(bench.state.state).toBe("ready");
    expect(bench.open.size).toBe(1);
  });

  test("is not taken for one that was loaded", () => {
    const bench = Bench.ready();
    tell(bench, "pageshow");
    bench.advance(0);
    expect(bench.link).toBe(1);
  });

  test("that is closed for good stays so", () => {
    const bench = Bench.ready();
    bench.close();
    tell(bench, "pagehide", "pageshow", "online", "visible");
    bench.advance(60_000);
    expect([bench.link, bench.state.state]).toEqual([1, "closed"]);
  });
});
