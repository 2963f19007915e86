// SPDX-License-Identifier: Apache-2.0
// Text <-> message. What is sent is checked by the schema and for I-JSON before it is text; what is
// received is checked by the schema.
import { localError, type RequestError } from "./errors.js";
import type { ClientMessage, ServerMessage } from "./generated/messages.js";
import { checkClientMessage, checkServerMessage, isServerType } from "./generated/validators.js";

/** What a text of the server is. */
export type Decoded =
  | { readonly kind: "message"; readonly message: ServerMessage }
  /** Of a later version: ignored, but for its number. PROTOCOL 2.5.2, 2.5.4. */
  | { readonly kind: "unknown"; readonly requestId: unknown; readonly seq: unknown }
  | { readonly kind: "malformed"; readonly pointer: string | undefined; readonly reason: string };

/** Reads a text of the server. Never throws. */
export function decode(text: string): Decoded {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: "malformed", pointer: undefined, reason: "the text is not JSON" };
  }
  if (!isObject(value)) {
    return { kind: "malformed", pointer: undefined, reason: "the text is not an object" };
  }
  const { type, request_id: requestId, seq } = value;
  if (typeof type !== "string") {
    return { kind: "malformed", pointer: "/type", reason: "the message has no type" };
  }
  if (!isServerType(type)) {
    return { kind: "unknown", requestId, seq };
  }
  const message = value as unknown as ServerMessage;
  const defect = checkServerMessage(message);
  if (defect === undefined) return { kind: "message", message };
  const reason = `a bad ${type}: ${defect.rule} at ${defect.pointer}`;
  return { kind: "malformed", pointer: defect.pointer, reason };
}

/**
 * Returns the text of a message.
 *
 * @throws ValidationError, with `details.pointer`: it breaks the schema, or is not I-JSON (RFC 7493):
 * an integer beyond ±(2^53 − 1), NaN, an infinity, a lone surrogate. PROTOCOL 2.3.
 */
export function encode(message: ClientMessage): string {
  const defect = checkClientMessage(message);
  if (defect !== undefined) throw invalid(defect.pointer, `it breaks the schema (${defect.rule})`);
  try {
    checkValue(message, "");
    return JSON.stringify(message);
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) {
      throw invalid("/payload", `it cannot be written as JSON: ${error.message}`);
    }
    throw error;
  }
}

/** Returns the text of a `request` that is sent again. PROTOCOL 10.6. */
export function withResend(text: string): string {
  if (text.endsWith(',"resend":true}')) return text; // kept by an earlier page
  return `${text.slice(0, -1)},"resend":true}`;
}

/** Returns the size of a text in bytes of UTF-8. */
export function byteLength(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // A surrogate pair is two units and four bytes: two more than its units, one for each.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}

/** Returns the RFC 8785 canonical form of a JSON value: equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
}

interface Wire {
  readonly type?: unknown;
  readonly request_id?: unknown;
  readonly seq?: unknown;
}

function isObject(value: unknown): value is Wire {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const LONE_SURROGATE = /\p{Surrogate}/u;

// Reads a value as JSON.stringify will: with toJSON, and without what that leaves out.
function checkValue(given: unknown, pointer: string): void {
  const value = hasToJson(given) ? given.toJSON() : given;
  if (typeof value === "string") checkText(value, pointer);
  else if (typeof value === "bigint")
    throw invalid(pointer, "a BigInt is to be written as a string");
  else if (typeof value === "number") checkNumber(value, pointer);
  else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) checkValue(item, `${pointer}/${index}`);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      checkText(key, pointer);
      checkValue(item, `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`);
    }
  }
}

function checkText(text: string, pointer: string): void {
  if (LONE_SURROGATE.test(text)) throw invalid(pointer, "it holds a lone surrogate");
}

function checkNumber(value: number, pointer: string): void {
  if (!Number.isFinite(value)) throw invalid(pointer, `JSON has no ${value}`);
  // From 1e21 on JavaScript writes an exponent, and a number with an exponent is no integer.
  if (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21) {
    throw invalid(pointer, "an integer is beyond 2^53 - 1: write it as a string");
  }
}

function hasToJson(value: unknown): value is { toJSON(): unknown } {
  return (
    typeof value === "object" &&
    value !== null &&
    "toJSON" in value &&
    typeof value.toJSON === "function"
  );
}

function invalid(pointer: string, why: string): RequestError {
  return localError("VALIDATION_ERROR", `${pointer || "the message"} cannot be sent: ${why}`, {
    details: { pointer },
  });
}
