// SPDX-License-Identifier: Apache-2.0
// Every vector of schema/vectors, as its README says: what the codec makes of each text.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { canonicalJson, type Decoded, decode, encode } from "../src/codec.js";
import { RequestError, ValidationError } from "../src/errors.js";
import { checkClientMessage } from "../src/generated/validators.js";

interface Vector {
  readonly name: string;
  readonly direction: "client" | "server";
  readonly text: string;
  readonly valid: boolean;
  readonly outcome?: "either" | "ignored";
  readonly canonical?: string;
  readonly error?: { readonly code: string; readonly pointer?: string };
}

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Schema>> & { readonly type?: Schema };
  readonly items?: Schema;
}

/**
 * JavaScript has one type of number and writes these doubles without a fraction, which makes them
 * integers beyond 2^53 - 1. Nobody can see whether their digits are meant, so they are refused.
 */
const UNWRITABLE = new Set([
  "number: 2^53 with a fraction",
  "number: 2^53 + 1 with a fraction, which a double rounds",
  "number: just below 1e21",
]);

const SCHEMA = new URL("../../schema/", import.meta.url);

function read<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, SCHEMA), "utf8")) as T;
}

const files = readdirSync(new URL("vectors/", SCHEMA)).filter((name) => name.endsWith(".json"));
const { $defs: definitions } = read<{ $defs: Record<string, Schema> }>("bundle.json");

/** Leaves out fields that the schema does not name: readers keep them here, and nobody reads them. */
function known(value: unknown, schema: Schema): unknown {
  if (schema.$ref !== undefined) {
    return known(value, definitions[schema.$ref.slice("#/$defs/".length)] ?? {});
  }
  if (Array.isArray(value) && schema.items) {
    const { items } = schema;
    return value.map((item) => known(item, items));
  }
  if (!schema.properties) return value;
  const fields = Object.entries(value as object).filter(([name]) =>
    Object.hasOwn(schema.properties ?? {}, name),
  );
  return Object.fromEntries(
    fields.map(([name, field]) => [name, known(field, schema.properties?.[name] ?? {})]),
  );
}

function canonicalMessage(message: { readonly type: string }, side: "Client" | "Server"): string {
  const titles = Object.keys(definitions).filter((title) => {
    return definitions[title]?.properties?.type?.const === message.type;
  });
  expect(titles, `${side} message`).toHaveLength(1);
  return canonicalJson(known(message, { $ref: `#/$defs/${titles[0]}` }));
}

function expectRefused(decoded: Decoded, vector: Vector): void {
  expect(decoded.kind).toBe("malformed");
  if (decoded.kind === "malformed") expect(decoded.pointer).toBe(vector.error?.pointer);
}

test("all files of vectors are there, with no fewer vectors than when this was written", () => {
  expect(files).toEqual([
    "bounds.json",
    "codes.json",
    "envelope.json",
    "i-json.json",
    "messages-client.json",
    "messages-server.json",
    "values.json",
  ]);
  const count = files.flatMap((file) => read<Vector[]>(`vectors/${file}`)).length;
  expect(count).toBeGreaterThanOrEqual(667);
});

test("doubles that would be written as integers beyond 2^53 - 1 are refused", () => {
  const unwritable = read<Vector[]>("vectors/i-json.json").filter(({ name }) =>
    UNWRITABLE.has(name),
  );
  expect(unwritable).toHaveLength(UNWRITABLE.size);
  for (const { text } of unwritable) {
    expect(() => encode(JSON.parse(text))).toThrow(ValidationError);
  }
});

describe.each(files)("%s", (file) => {
  const vectors = read<Vector[]>(`vectors/${file}`);
  const fromServer = vectors.filter(({ direction }) => direction === "server");
  const fromClient = vectors.filter(({ direction }) => direction === "client");

  test.each(fromServer.map((vector) => [vector.name, vector] as const))("%s", (_name, vector) => {
    const decoded = decode(vector.text);
    if (vector.outcome === "ignored") {
      expect(decoded.kind).toBe("unknown");
    } else if (vector.outcome === "either") {
      if (decoded.kind === "malformed") expectRefused(decoded, vector);
      else if (vector.valid && decoded.kind === "message") {
        expect(canonicalMessage(decoded.message, "Server")).toBe(vector.canonical);
      }
    } else if (vector.valid) {
      expect(decoded).toMatchObject({ kind: "message" });
      if (decoded.kind === "message") {
        expect(canonicalMessage(decoded.message, "Server")).toBe(vector.canonical);
      }
    } else {
      expectRefused(decoded, vector);
    }
  });

  test.each(
    fromClient
      .filter(({ name, valid, outcome }) => valid && outcome === undefined && !UNWRITABLE.has(name))
      .map((vector) => [vector.name, vector] as const),
  )("is written: %s", (_name, vector) => {
    const written = JSON.parse(encode(JSON.parse(vector.text)));
    expect(canonicalMessage(written, "Client")).toBe(vector.canonical);
  });

  // What the SDK checks before it sends is the same schema; the server's own checks are left out.
  test.each(
    fromClient
      .filter(({ valid, error }) => !valid && error?.code === "VALIDATION_ERROR")
      .map((vector) => [vector.name, vector] as const),
  )("is not written: %s", (_name, vector) => {
    let message: { type: string };
    try {
      message = JSON.parse(vector.text);
    } catch {
      return; // no value of JavaScript has this form
    }
    if (typeof message?.type !== "string") return;
    const defect = checkClientMessage(message);
    if (defect !== undefined) {
      expect(defect.pointer).toBe(vector.error?.pointer);
      return;
    }
    // Digits and depth are not seen any more in a value: the rest must be refused by `encode`.
    if (file === "i-json.json" && !/\\ud|e400/i.test(vector.text)) return;
    try {
      encode(message as never);
    } catch (error) {
      expect(error).toBeInstanceOf(RequestError);
      expect((error as RequestError).details).toEqual({ pointer: vector.error?.pointer });
      return;
    }
    expect.unreachable(`accepted: ${vector.text.slice(0, 200)}`);
  });
});
