// SPDX-License-Identifier: Apache-2.0
// What the server says: each message is checked by the schema before it is sent.
import { ERROR_CODES, type KnownErrorCode } from "../generated/codes.js";
import type { ErrorInfo, Limits, ServerMessage } from "../generated/messages.js";
import { checkServerMessage } from "../generated/validators.js";
import type { TestClock } from "./clock.js";

/** The day on which every {@link TestClock} begins. */
const EPOCH = Date.UTC(2026, 0, 1);

/** What a real server announces by default. */
export const LIMITS: Limits = {
  max_message_bytes: 1_048_576,
  max_depth: 64,
  max_in_flight: 1_000,
  messages_per_minute: 6_000,
  message_burst: 1_000,
  max_log_bytes: 67_108_864,
  id_retention_ms: 604_800_000,
};

/** What an error says beside its code and its text. */
export interface Failure {
  /** Default: that of the code. */
  readonly retryable?: boolean;
  readonly retryAfterMs?: number | undefined;
  readonly details?: unknown;
}

/** Returns the message; throws a TypeError where a server may not send it. */
export function checked<Message extends ServerMessage>(message: Message): Message {
  const defect = checkServerMessage(message);
  if (defect === undefined) return message;
  throw new TypeError(
    `no server may send this ${message.type}: ${defect.rule} at ${defect.pointer || "the message"}`,
  );
}

export function errorFrom(code: KnownErrorCode, message: string, of: Failure = {}): ErrorInfo {
  return {
    code,
    message,
    retryable: of.retryable ?? ERROR_CODES[code].retryable,
    ...(of.retryAfterMs !== undefined && { retry_after_ms: of.retryAfterMs }),
    ...(of.details !== undefined && { details: of.details }),
  };
}

export function timestamp(clock: TestClock, inMs = 0): string {
  return new Date(EPOCH + clock.now() + inMs).toISOString();
}
