// SPDX-License-Identifier: Apache-2.0
// What an application sees of a request and of the client. The wire's names (snake_case) become those
// of JavaScript here and nowhere else.
import { defined, given } from "./defined.js";
import type { ErrorCode, RequestStatus } from "./generated/codes.js";
import type * as wire from "./generated/messages.js";

/** Why an attempt or a request failed, as the server tells it. */
export interface ErrorInfo {
  readonly code: ErrorCode;
  /** A sentence for people. */
  readonly message: string;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly details?: unknown;
}

/** The request was queued, an attempt began (`processing`), or one failed (`retrying`). */
export interface Status {
  readonly kind: "status";
  readonly seq: number;
  /** `queued`, `processing` or `retrying`; open: a later version may send others. */
  readonly status: RequestStatus;
  /** The attempt that begins, or that failed; 0 with `queued`. */
  readonly attempt: number;
  /** At `processing`, drop the chunks that you collected with a greater `seq`. PROTOCOL 10.19. */
  readonly chunksKeptTo: number;
  /** With `retrying`: when the next attempt is due, by the server's clock. */
  readonly retryAt?: Date;
  /** With `retrying`: why the attempt failed. */
  readonly error?: ErrorInfo;
}

/** The newest progress of an attempt. Older ones may have been left out. */
export interface Progress<Details = unknown> {
  readonly kind: "progress";
  readonly attempt: number;
  /** Grows within an attempt. */
  readonly version: number;
  /** 0 to 100. */
  readonly percentage?: number;
  readonly message?: string;
  readonly details?: Details;
  readonly updatedAt: Date;
}

/** An ordered piece of the result. */
export interface Chunk<Data = unknown> {
  readonly kind: "chunk";
  readonly seq: number;
  readonly attempt: number;
  readonly data: Data;
}

/** What the iterator of a handle yields; told apart by `kind`. */
export type RequestEvent<Data = unknown, Details = unknown> =
  | Status
  | Progress<Details>
  | Chunk<Data>;

/** How a request stands. */
export interface RequestSummary<Details = unknown> {
  readonly id: string;
  readonly action: string;
  /** Open: a later version may send others. */
  readonly status: RequestStatus;
  /** The newest attempt; 0 before the first. */
  readonly attempt: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** The number of its newest event. */
  readonly lastSeq: number;
  readonly cancelRequested: boolean;
  /** The dead request that this one repeats. */
  readonly requeuedFrom?: string;
  readonly progress?: Progress<Details>;
  /** Until when a finished request and its log are kept. */
  readonly expiresAt?: Date;
}

/** A request as the server read it after it was asked. */
export interface Snapshot<Result = unknown, Details = unknown> {
  readonly request: RequestSummary<Details>;
  /** Of a completed request, where it fits a message. PROTOCOL 10.44. */
  readonly result?: Result;
  /** Of a failed or cancelled request. */
  readonly error?: ErrorInfo;
}

/** An operator's word to this connection, this user, this tenant, or all. */
export interface Announcement {
  readonly message: string;
  readonly details?: unknown;
  readonly createdAt: Date;
}

/** The state of the client's connection, and why; told apart by `state`. PROTOCOL 9.7. */
export type ClientState =
  | { readonly state: "connecting" }
  /** `resumed` is false for the first time of this client, true at each later one. */
  | { readonly state: "ready"; readonly resumed: boolean }
  /** `retryInMs` is the wait before the next try; `code` the close code, if there was one. */
  | {
      readonly state: "reconnecting";
      readonly retryInMs: number;
      readonly code: number | undefined;
      readonly reason: string;
    }
  /** The server asked to move; the application has nothing to do. */
  | { readonly state: "draining"; readonly reason: string }
  /** For good. */
  | { readonly state: "closed"; readonly code: number | undefined; readonly reason: string };

/** Returns milliseconds since 1970; a leap second counts as the second after it. */
export function parseTimestamp(text: wire.Timestamp): number {
  const isLeap = text.slice(17, 19) === "60";
  return isLeap ? Date.parse(`${text.slice(0, 17)}59${text.slice(19)}`) + 1000 : Date.parse(text);
}

/** Returns the event of an `acknowledgment`, `status` or `chunk`. PROTOCOL 9.2.2. */
export function eventFrom(
  message: wire.AcknowledgmentMessage | wire.StatusMessage | wire.ChunkMessage,
): Status | Chunk {
  const { seq } = message;
  switch (message.type) {
    case "acknowledgment":
      return { kind: "status", seq, status: "queued", attempt: 0, chunksKeptTo: 0 };
    case "chunk":
      return { kind: "chunk", seq, attempt: message.attempt, data: message.data };
    case "status":
      return defined({
        kind: "status" as const,
        seq,
        status: message.status,
        attempt: message.attempt,
        chunksKeptTo: message.chunks_kept_to,
        retryAt: given(message.retry_at, dateFrom),
        error: given(message.error, errorInfoFrom),
      });
  }
}

export function progressFrom(message: wire.ProgressState): Progress {
  return defined({
    kind: "progress" as const,
    attempt: message.attempt,
    version: message.version,
    percentage: message.percentage,
    message: message.message,
    details: message.details,
    updatedAt: dateFrom(message.updated_at),
  });
}

export function errorInfoFrom(error: wire.ErrorInfo): ErrorInfo {
  return defined({
    code: error.code,
    message: error.message,
    retryable: error.retryable,
    retryAfterMs: error.retry_after_ms,
    details: error.details,
  });
}

export function summaryFrom(summary: wire.RequestSummary): RequestSummary {
  return defined({
    id: summary.id,
    action: summary.action,
    status: summary.status,
    attempt: summary.attempt,
    createdAt: dateFrom(summary.created_at),
    updatedAt: dateFrom(summary.updated_at),
    lastSeq: summary.last_seq,
    cancelRequested: summary.cancel_requested ?? false,
    requeuedFrom: summary.requeued_from,
    progress: given(summary.progress, progressFrom),
    expiresAt: given(summary.expires_at, dateFrom),
  });
}

export function snapshotFrom(message: wire.SnapshotMessage): Snapshot {
  return defined({
    request: summaryFrom(message.request),
    result: message.result,
    error: given(message.error, errorInfoFrom),
  });
}

export function announcementFrom(message: wire.AnnouncementMessage): Announcement {
  return defined({
    message: message.message,
    details: message.details,
    createdAt: dateFrom(message.created_at),
  });
}

function dateFrom(text: wire.Timestamp): Date {
  return new Date(parseTimestamp(text));
}
