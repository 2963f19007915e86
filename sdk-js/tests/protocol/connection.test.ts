// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { ConnectionClosedError, UnauthorizedError } from "../../src/errors.js";
import { VERSION } from "../../src/version.js";
import {
  acknowledgment,
  Bench,
  chunk,
  complete,
  processing,
  snapshotMessage,
  told,
  welcomeMessage,
} from "./bench.js";

describe("opening", () => {
  // clause: 3.2.1, 3.2.2, 4.2.1, 4.2.2
  test("the client says hello first, and nothing else before welcome (4.2)", () => {
    const bench = new Bench({ userAgent: "app" });
    bench.submit("a");
    expect(bench.take()).toEqual([
      { type: "hello", token: "token", client: { name: "app longcall-js", version: VERSION } },
    ]);
    bench.welcome();
    expect(bench.said()).toEqual(["request a"]);
    expect(bench.states).toEqual([{ state: "ready", resumed: false }]);
  });

  test("a client without a token sends none", () => {
    const bench = new Bench();
    bench.giveToken = () => undefined;
    bench.closed();
    bench.take();
    bench.advance(500);
    expect(bench.take()[0]).not.toHaveProperty("token");
  });

  // clause: 4.2.9
  test.each([
    ["another message", JSON.stringify(acknowledgment("a"))],
    ["an unknown one", '{"type":"hint"}'],
    ["a welcome that is none", '{"type":"welcome"}'],
    ["no JSON", "{"],
  ])("the first message must be a well-formed welcome, not %s (4.2.9)", (_what, text) => {
    const bench = new Bench();
    bench.text(text);
    expect(bench.closes).toEqual([{ link: 1, code: 4400 }]);
    expect(bench.state).toMatchObject({ state: "reconnecting", code: 4400 });
    bench.advance(500);
    expect(bench.link).toBe(2);
  });

  // clause: 4.2.10
  test("a socket that is not welcomed within 10 s is given up (4.2.10)", () => {
    const bench = new Bench();
    bench.advance(9_999);
    expect(bench.closes).toEqual([]);
    bench.advance(1);
    expect(bench.closes).toEqual([{ link: 1, code: 4408 }]);
    expect(bench.state.state).toBe("reconnecting");
  });

  test("a socket that never opens is given up too", () => {
    const bench = new Bench();
    bench.closed();
    bench.isUp = false;
    bench.advance(500 + 10_000);
    expect(bench.closes).toEqual([{ link: 2, code: 4408 }]);
  });

  // clause: 9.4.6
  test("a token source that fails is a failed try (9.4.6)", () => {
    const bench = new Bench();
    bench.giveToken = () => new Error("no token today");
    bench.closed();
    bench.advance(500);
    expect(bench.state).toMatchObject({ state: "reconnecting", retryInMs: 1_000 });
    bench.giveToken = () => "token";
    bench.advance(1_000);
    expect(bench.said()).toContain("hello");
  });

  test("a token that no message can hold is a failed try, and is not told", () => {
    const bench = new Bench();
    bench.giveToken = () => "x".repeat(20_000);
    bench.closed();
    bench.advance(500);
    expect(bench.state.state).toBe("reconnecting");
    expect(bench.warnings.join()).not.toContain("xxx");
  });
});

describe("reconnecting", () => {
  // clause: 9.4.2
  test("waits double from 0.5 s to 20 s, with full jitter (9.4.2)", () => {
    const bench = new Bench();
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      bench.closed();
      if (bench.state.state === "reconnecting") waits.push(bench.state.retryInMs);
      bench.retry();
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]);
  });

  // clause: 9.4.3
  test("a welcome sets the wait back (9.4.3)", () => {
    const bench = new Bench();
    for (let i = 0; i < 4; i++) {
      bench.closed();
      bench.retry();
    }
    bench.welcome();
    bench.closed();
    expect(bench.state).toMatchObject({ retryInMs: 500 });
  });

  // clause: 9.4.4
  test("but not that of a server that then breaks the protocol (9.4.4)", () => {
    const bench = Bench.ready();
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      bench.text("{");
      if (bench.state.state === "reconnecting") waits.push(bench.state.retryInMs);
      bench.retry();
      bench.welcome();
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000]);
  });

  // clause: 7.3.1, 7.3.2, 9.7.2
  test.each([1001, 1006, 1009, 1012, 1013, 4408, 4429, 4999])(
    "it reconnects after %i (7.3)",
    (code) => {
      const bench = Bench.ready();
      bench.closed(code, "why");
      expect(bench.states.at(-1)).toEqual({
        state: "reconnecting",
        retryInMs: 500,
        code,
        reason: "why",
      });
      bench.advance(500);
      bench.welcome();
      expect(bench.states.slice(-2)).toEqual([
        { state: "connecting" },
        { state: "ready", resumed: true },
      ]);
    },
  );

  // clause: 7.3.1, 7.3.4, 9.5.7
  test.each([1003, 4400, 4403])("it stops after %i from the server (7.3.4)", (code) => {
    const bench = Bench.ready();
    const [sent, stored] = [bench.submit("a"), bench.stored("b")];
    bench.closed(code, "go");
    expect(bench.state).toEqual({ state: "closed", code, reason: "go" });
    expect(bench.protocol.nextTimeout).toBeUndefined();
    expect(sent.outcome?.error).toMatchObject({ code, requestId: "a", outcomeUnknown: true });
    expect(stored.outcome?.error).toMatchObject({ code, requestId: "b", outcomeUnknown: false });
    expect(stored.outcome?.error).toBeInstanceOf(ConnectionClosedError);
    expect(() => bench.submit("c")).toThrow(ConnectionClosedError);
  });

  // clause: 2.2.3, 7.3.3
  test("codes that this side used do not stop it (7.3.3)", () => {
    const bench = Bench.ready();
    bench.protocol.handleBinary(bench.link, bench.now);
    bench.flush();
    expect(bench.closes).toEqual([{ link: 1, code: 1003 }]);
    expect(bench.state.state).toBe("reconnecting");
  });

  // clause: 9.4.7
  test("the next socket waits until the old one is really closed (9.4.7)", () => {
    const bench = Bench.ready();
    bench.answersCloses = false;
    bench.text("{");
    bench.advance(999);
    expect(bench.state.state).toBe("ready");
    expect(bench.link).toBe(1);
    bench.advance(1);
    expect(bench.cuts).toEqual([1]);
    expect(bench.state.state).toBe("reconnecting");
    bench.advance(500);
    expect(bench.link).toBe(2);
  });

  // clause: 9.4.8
  test("Retry-After is a shortest wait (9.4.8)", () => {
    const bench = new Bench();
    bench.protocol.handleClosed(1, 1006, "", bench.now, 7_000);
    bench.flush();
    expect(bench.state).toMatchObject({ retryInMs: 7_000 });
  });
});

describe("a malformed message of the server", () => {
  // clause: 4.3.14
  test.each([
    "",
    "[]",
    '{"type":1}',
    '{"type":"complete","request_id":"a","seq":0,"result":1}',
    '{"type":"chunk"}',
  ])("closes with 4400 and reconnects: %s (4.3.14)", (text) => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.text(text);
    expect(bench.closes).toEqual([{ link: 1, code: 4400 }]);
    bench.advance(500);
    bench.welcome();
    expect(bench.said()).toEqual(["hello", "attach a after 1"]);
    expect(state.outcome).toBeUndefined();
  });

  // clause: 2.5.2, 2.5.3
  test("one of unknown type is ignored and counted (2.5)", () => {
    const bench = Bench.ready();
    bench.text('{"type":"hint"}');
    bench.text('{"type":"__proto__"}');
    expect(bench.protocol.ignored).toBe(2);
    expect(bench.closes).toEqual([]);
  });
});

describe("4401", () => {
  // clause: 10.42.3, 10.42.4
  test("a fresh token is tried once, and a second 4401 stops (10.42)", () => {
    const bench = Bench.ready();
    bench.closed(4401);
    expect(bench.state.state).toBe("reconnecting");
    bench.advance(500);
    expect(bench.tokenReasons).toEqual(["connect", "unauthorized"]);
    bench.closed(4401, "expired");
    expect(bench.state).toEqual({ state: "closed", code: 4401, reason: "expired" });
  });

  // clause: 10.42.4
  test("a welcome between them makes it a first one again", () => {
    const bench = Bench.ready();
    for (let i = 0; i < 3; i++) bench.reconnect(4401);
    expect(bench.state.state).toBe("ready");
  });

  // clause: 10.42.4
  test("losses between do not", () => {
    const bench = Bench.ready();
    bench.closed(4401);
    bench.advance(500);
    bench.closed(1006);
    bench.retry();
    bench.closed(4401);
    expect(bench.state.state).toBe("closed");
  });
});

describe("principal", () => {
  // clause: 10.40.2, 10.40.3, 10.40.4
  test("another one closes for good, and nothing is sent (10.40)", () => {
    const bench = Bench.ready();
    const [state, sent] = [bench.stored("a"), bench.submit("b")];
    bench.take();
    bench.reconnect(1006, { principal: "p_2" });
    expect(bench.said()).toEqual([]);
    expect(bench.state.state).toBe("closed");
    expect(bench.closes).toEqual([{ link: 2, code: 1000 }]);
    expect(state.outcome?.error).toBeInstanceOf(UnauthorizedError);
    expect(sent.outcome?.error).toMatchObject({ code: "UNAUTHORIZED", outcomeUnknown: true });
  });
});

describe("the token's life", () => {
  // clause: 3.6.1, 10.41.2, 10.41.3
  test("it is refreshed when 80 % have passed, by the server's clock (10.41)", () => {
    const bench = Bench.ready();
    bench.giveToken = () => "fresh";
    bench.live(48 * 60_000 - 1);
    expect(bench.said()).toEqual([]);
    bench.live(1);
    expect(bench.tokenReasons).toEqual(["connect", "refresh"]);
    expect(bench.take()).toEqual([{ type: "refresh", token: "fresh" }]);
    bench.server({
      type: "refreshed",
      server_time: "2000-01-01T00:00:00.000Z",
      expires_at: "2000-01-01T00:10:00.000Z",
    });
    bench.live(8 * 60_000);
    expect(bench.said()).toEqual(["refresh"]);
  });

  // clause: 9.4.6
  test.each([
    ["refused", (bench: Bench) => bench.server(refreshRefused)],
    ["of no token", () => {}],
  ])(
    "a refresh that is %s leaves the old token in force, and is tried again (10.42)",
    (what, refuse) => {
      const bench = Bench.ready();
      if (what === "of no token") bench.giveToken = () => new Error("down");
      bench.live(48 * 60_000);
      refuse(bench);
      expect(bench.state.state).toBe("ready");
      bench.giveToken = () => "fresh";
      bench.live(0.8 * 12 * 60_000 - 1);
      expect(bench.tokenReasons).toHaveLength(2);
      bench.live(1);
      expect(bench.tokenReasons).toHaveLength(3);
    },
  );

  test("it is not tried in the last second", () => {
    const bench = Bench.ready({}, { expires_at: "2026-11-23T18:40:04.000Z" });
    bench.giveToken = () => new Error("down");
    bench.advance(4_000);
    expect(bench.tokenReasons).toEqual(["connect", "refresh"]);
  });

  test("a token without a source is never refreshed", () => {
    const bench = Bench.ready({ token: "fixed" });
    bench.live(60 * 60_000);
    expect(bench.said()).toEqual([]);
  });
});

describe("heartbeat", () => {
  // clause: 4.7.1
  test("a ping is answered with its nonce (4.7.1)", () => {
    const bench = Bench.ready();
    bench.server({ type: "ping", nonce: "7" }, { type: "ping" });
    bench.text('{"type":"ping","nonce":"\\ud800"}');
    expect(bench.take()).toEqual([
      { type: "pong", nonce: "7" },
      { type: "pong" },
      { type: "pong", nonce: "\ud800" },
    ]);
  });

  // clause: 6.7.1, 6.7.6
  test("nothing heard for the interval and 10 s: it reconnects (6.7.6)", () => {
    const bench = Bench.ready();
    bench.advance(30_000);
    bench.server({ type: "ping" });
    bench.advance(34_999);
    expect(bench.closes).toEqual([]);
    bench.advance(1);
    expect(bench.closes).toEqual([{ link: 1, code: 4408 }]);
    expect(bench.state.state).toBe("reconnecting");
  });

  // clause: 6.7.3
  test("the client pings where the server says so (6.7.3)", () => {
    const bench = Bench.ready({}, { heartbeat: { interval_ms: 1_000, from: "client" } });
    bench.advance(3_000);
    expect(bench.said()).toEqual(["ping", "ping", "ping"]);
    bench.server({ type: "pong" });
    expect(bench.protocol.ignored).toBe(0);
  });

  // clause: 6.7.4
  test("an unknown side is the server (6.7.4)", () => {
    const bench = Bench.ready({}, { heartbeat: { interval_ms: 1_000, from: "moon" } });
    bench.advance(3_000);
    expect(bench.said()).toEqual([]);
  });
});

describe("goaway", () => {
  const goaway = { type: "goaway", reason: "restart", reconnect_after_ms: 340 };

  // clause: 6.8.5, 6.8.6, 6.8.7, 6.8.8, 10.37.2, 10.38.1, 10.38.3
  test("the dialogue of PROTOCOL 11.9", () => {
    const bench = Bench.ready();
    const followed = bench.stored("81");
    bench.server(processing("81", 2), chunk("81", 3));
    const reader = bench.iterate(followed);
    bench.server(snapshotMessage("81", { last_seq: 3 }));
    bench.server(acknowledgment("81"), processing("81", 2), chunk("81", 3));
    const unanswered = bench.submit("82");
    bench.take();
    bench.server(goaway);
    expect(bench.state).toEqual({ state: "draining", reason: "restart" });
    bench.advance(339);
    expect(bench.link).toBe(1);
    bench.advance(1);
    expect(bench.said(2)).toEqual(["hello"]);
    bench.serverOn(2, welcomeMessage());
    // What is unanswered on the old one is not sent again while that is open (10.37).
    expect(bench.said()).toEqual(["attach 81 after 3"]);
    bench.serverOn(1, chunk("81", 4), acknowledgment("82"));
    expect(bench.said()).toEqual(["attach 82 after 1"]);
    bench.serverOn(2, snapshotMessage("81", { last_seq: 4 }), chunk("81", 4));
    expect(bench.closes).toEqual([]);
    bench.serverOn(2, snapshotMessage("82", { status: "queued", attempt: 0 }));
    expect(bench.closes).toEqual([{ link: 1, code: 1000 }]);
    bench.serverOn(2, chunk("81", 5));
    expect(told(reader)).toEqual(["queued", "processing 1", "chunk 3", "chunk 4", "chunk 5"]);
    expect(unanswered.phase).toBe("stored");
    expect(bench.states.map(({ state }) => state)).toEqual(["ready", "draining", "ready"]);
  });

  // clause: 10.6.1, 10.38.2
  test("what is still unanswered when the old one closes is sent again (10.38)", () => {
    const bench = Bench.ready();
    bench.submit("a");
    bench.server(goaway);
    bench.advance(340);
    bench.serverOn(2, welcomeMessage());
    bench.take();
    bench.closed(1012, "", 1);
    expect(bench.said(2)).toEqual(["request a again"]);
    expect(bench.state.state).toBe("ready");
  });

  // clause: 6.8.10, 10.37.1
  test("nothing new is sent on the old one, but for a cancel of what is unanswered there (6.8.10)", () => {
    const bench = Bench.ready();
    const [unanswered, stored] = [bench.submit("a"), bench.stored("b")];
    bench.take();
    bench.server(goaway);
    bench.submit("c");
    bench.attach("d");
    bench.list();
    bench.cancel(unanswered);
    bench.cancel(stored);
    bench.server({ type: "ping" });
    expect(bench.said()).toEqual(["cancel a", "pong"]);
    bench.advance(340);
    bench.serverOn(2, welcomeMessage());
    expect(bench.said(2)).toEqual([
      "hello",
      "cancel b",
      "attach d after 0",
      "attach b after 1",
      "list list-1",
      "request c",
    ]);
  });

  test("an outcome may still come by the old one", () => {
    const bench = Bench.ready();
    const [quick, stored] = [bench.submit("a"), bench.stored("b")];
    bench.server(goaway);
    bench.serverOn(1, { type: "response", request_id: "a", result: 1 }, complete("b", 2, 2));
    expect(quick.outcome).toEqual({ ending: "answer", result: 1 });
    expect(stored.outcome).toEqual({ ending: "event", result: 2 });
  });

  // clause: 6.8.9
  test("a second one on the same connection is ignored (6.8.9)", () => {
    const bench = Bench.ready();
    bench.server(goaway);
    bench.server({ ...goaway, reconnect_after_ms: 9_000 });
    bench.advance(340);
    expect(bench.link).toBe(2);
  });

  test("when the old one breaks, the reconnect stays where it was planned", () => {
    const bench = Bench.ready();
    bench.server(goaway);
    bench.advance(100);
    bench.closed(1006);
    expect(bench.state).toMatchObject({ state: "reconnecting", retryInMs: 240 });
    bench.advance(240);
    expect(bench.link).toBe(2);
    expect(bench.state.state).toBe("connecting");
    bench.welcome();
    expect(bench.state.state).toBe("ready");
  });

  test("when the old one breaks while the new one opens, it is connecting", () => {
    const bench = Bench.ready();
    bench.server(goaway);
    bench.advance(340);
    bench.closed(1006, "", 1);
    expect(bench.state.state).toBe("connecting");
    bench.serverOn(2, welcomeMessage());
    expect(bench.state.state).toBe("ready");
  });

  test("a new one that fails is tried again while the old one answers", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(goaway);
    bench.advance(340);
    bench.closed(1006, "", 2);
    expect(bench.state.state).toBe("draining");
    bench.serverOn(1, complete("a", 2));
    expect(state.outcome).toBeDefined();
    bench.advance(500);
    expect(bench.link).toBe(3);
  });

  test("a gap on the old one asks nothing there", () => {
    const bench = Bench.ready();
    bench.stored("a");
    bench.server(goaway);
    bench.serverOn(1, chunk("a", 5), chunk("a", 2));
    expect(bench.said()).toEqual([]);
    bench.advance(340);
    bench.serverOn(2, welcomeMessage());
    expect(bench.said(2)).toEqual(["hello", "attach a after 1"]);
  });

  test("the new server may go away too", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.server(goaway);
    bench.advance(340);
    bench.serverOn(2, welcomeMessage());
    bench.serverOn(2, goaway);
    bench.advance(340);
    bench.serverOn(3, welcomeMessage());
    bench.serverOn(3, snapshotMessage("a"), complete("a", 2));
    expect(state.outcome).toBeDefined();
  });
});

describe("closing", () => {
  // clause: 7.3.5, 9.3.4
  test("it closes the socket with 1000, cancels nothing, and ends what waits (9.3.4)", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    const [reader, listing] = [bench.iterate(state), bench.list()];
    const snapshot = bench.snapshot(state);
    bench.take();
    bench.close();
    expect(bench.said()).toEqual([]);
    expect(bench.closes).toEqual([{ link: 1, code: 1000 }]);
    expect(bench.state).toMatchObject({ state: "closed", code: undefined });
    expect(bench.protocol.nextTimeout).toBeUndefined();
    for (const error of [reader.error, listing.error, snapshot.error, state.outcome?.error]) {
      expect(error).toBeInstanceOf(ConnectionClosedError);
    }
  });

  test("it can be closed in every state, twice", () => {
    const connecting = new Bench();
    const reconnecting = new Bench();
    reconnecting.closed();
    const draining = Bench.ready();
    draining.server({ type: "goaway", reason: "", reconnect_after_ms: 1 });
    for (const bench of [connecting, reconnecting, draining]) {
      bench.close();
      bench.close();
      expect(bench.states.at(-1)?.state).toBe("closed");
      expect(bench.states.filter(({ state }) => state === "closed")).toHaveLength(1);
      expect(bench.open.size).toBe(0);
      expect(bench.protocol.nextTimeout).toBeUndefined();
    }
  });

  test("what is asked of a closed client fails", () => {
    const bench = Bench.ready();
    const state = bench.stored("a");
    bench.close();
    expect(() => bench.attach("b")).toThrow(ConnectionClosedError);
    expect(bench.list().error).toBeInstanceOf(ConnectionClosedError);
    expect(bench.snapshot(state).error).toBeInstanceOf(ConnectionClosedError);
    expect(bench.iterate(state).error).toBeInstanceOf(ConnectionClosedError);
  });

  test("a socket that does not close is cut after a second", () => {
    const bench = Bench.ready();
    bench.answersCloses = false;
    bench.close();
    bench.advance(1_000);
    expect(bench.cuts).toEqual([1]);
    expect(bench.protocol.nextTimeout).toBeUndefined();
  });
});

// clause: 4.7.3
test("an announcement is handed on apart from any request (4.7.3)", () => {
  const bench = Bench.ready();
  bench.server({
    type: "announcement",
    message: "hear, hear",
    details: { a: 1 },
    created_at: "2026-11-23T18:40:00.000Z",
  });
  expect(bench.announcements).toEqual([
    {
      message: "hear, hear",
      details: { a: 1 },
      createdAt: new Date("2026-11-23T18:40:00.000Z"),
    },
  ]);
});

const refreshRefused = {
  type: "error",
  reply_to: "refresh",
  error: { code: "UNAUTHORIZED", message: "no", retryable: false },
};
