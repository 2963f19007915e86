// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { byteLength, canonicalJson, decode, encode, withResend } from "../src/codec.js";
import { parseTimestamp } from "../src/events.js";

test("a defect is told with its place", () => {
  expect(decode('{"type":"response","request_id":"a"}')).toEqual({
    kind: "malformed",
    pointer: "/result",
    reason: "a bad response: required at /result",
  });
});

test("a message of unknown type keeps what its number needs", () => {
  expect(decode('{"type":"hint","request_id":"a","seq":7}')).toEqual({
    kind: "unknown",
    requestId: "a",
    seq: 7,
  });
});

// clause: 2.3.13
test("nesting of 128 levels and of a hundred thousand does no harm", () => {
  for (const depth of [126, 100_000]) {
    const text = `{"type":"response","request_id":"a","result":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    expect(["message", "malformed"]).toContain(decode(text).kind);
    if (depth === 126) expect(decode(text).kind).toBe("message");
  }
});

describe("encode", () => {
  const request = { type: "request", id: "a", action: "b" } as const;

  test("writes what JSON.stringify writes", () => {
    const payload = { when: new Date(0), gone: undefined, list: [undefined], n: -0, big: 1e21 };
    expect(encode({ ...request, payload })).toBe(JSON.stringify({ ...request, payload }));
  });

  test("checks what toJSON gives", () => {
    expect(() => encode({ ...request, payload: { toJSON: () => 2 ** 53 } })).toThrow(/\/payload/);
  });

  // clause: 10.6.1
  test("a resend is marked (10.6)", () => {
    const again = withResend(encode(request));
    expect(JSON.parse(again)).toEqual({ ...request, resend: true });
    expect(withResend(again)).toBe(again);
  });
});

test.each(["", "a", "é", "€", "😀", "a😀é€"])("the size of %j is that of its UTF-8", (text) => {
  expect(byteLength(text)).toBe(Buffer.byteLength(text));
});

test("canonical JSON sorts keys by code units, numbers among them", () => {
  expect(canonicalJson({ b: 1, a: [{ d: null, c: "é" }], 10: 1, 9: 1 })).toBe(
    '{"10":1,"9":1,"a":[{"c":"é","d":null}],"b":1}',
  );
});

test("a time is read to the millisecond, a leap second as the second after it", () => {
  expect(parseTimestamp("2026-11-23T18:40:00.120Z")).toBe(Date.UTC(2026, 10, 23, 18, 40, 0, 120));
  expect(parseTimestamp("2016-12-31T23:59:60.500Z")).toBe(Date.UTC(2017, 0, 1, 0, 0, 0, 500));
});
