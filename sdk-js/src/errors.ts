// SPDX-License-Identifier: Apache-2.0
/**
 * Everything that longcall throws.
 *
 *     LongcallError
 *     ├── ConfigurationError          an option or argument of the client cannot be used
 *     ├── ConnectionClosedError       the client is closed for good: nothing more can be asked
 *     ├── DetachedError               the handle was detached by the application
 *     ├── WaitTimeoutError            the caller's patience ended; the request goes on
 *     ├── QueueFullError              too much already waits to be sent in this client
 *     ├── DownloadError               what came is not the file that was asked for
 *     └── RequestError                a request or a question about one was refused, or failed
 *         ├── ValidationError         VALIDATION_ERROR
 *         ├── UnauthorizedError       UNAUTHORIZED
 *         ├── ForbiddenError          FORBIDDEN
 *         ├── NotFoundError           NOT_FOUND
 *         ├── ConflictError           CONFLICT
 *         ├── UnknownActionError      UNKNOWN_ACTION
 *         ├── UnsupportedTypeError    UNSUPPORTED_TYPE
 *         ├── PayloadTooLargeError    PAYLOAD_TOO_LARGE
 *         ├── RateLimitedError        RATE_LIMITED
 *         ├── ResourceExhaustedError  RESOURCE_EXHAUSTED
 *         ├── RequestTimeoutError     TIMEOUT: the deadline of the request passed on the server
 *         ├── RequestCancelledError   CANCELLED
 *         ├── UnavailableError        UNAVAILABLE
 *         ├── HandlerError            HANDLER_ERROR: the handler failed of its own will
 *         └── InternalError           INTERNAL_ERROR, and every code that is not known here
 *
 * What tells two errors apart is their class and their data; the text is for people. PROTOCOL 9.8.
 *
 * @module
 */
import type { ErrorCode, KnownErrorCode } from "./generated/codes.js";

/** The root of everything that longcall throws. */
export class LongcallError extends Error {
  override name = "LongcallError";
}

/** An option or an argument of the client cannot be used. */
export class ConfigurationError extends LongcallError {
  override name = "ConfigurationError";
}

/** The client is closed for good: by the application, or because it was told to stop. */
export class ConnectionClosedError extends LongcallError {
  override name = "ConnectionClosedError";
  /** The close code that said stop (4400, 4401, 4403, …); `undefined` when the application closed. */
  readonly code: number | undefined;
  /** Why, in words. */
  readonly reason: string;
  /** The request that was waited for, if any. */
  readonly requestId: string | undefined;
  /** True when that request was sent and not answered: it may run. PROTOCOL 9.5.7. */
  readonly outcomeUnknown: boolean;

  constructor(
    code: number | undefined,
    reason: string,
    of: { readonly requestId?: string; readonly outcomeUnknown?: boolean } = {},
  ) {
    const why = reason && `: ${reason}`;
    super(`the client is closed${code === undefined ? "" : ` (close code ${code})`}${why}`);
    this.code = code;
    this.reason = reason;
    this.requestId = of.requestId;
    this.outcomeUnknown = of.outcomeUnknown ?? false;
  }
}

/** The application detached this handle; the request itself goes on. */
export class DetachedError extends LongcallError {
  override name = "DetachedError";

  constructor(
    /** The request; `client.attach(requestId)` gives a new handle. */
    readonly requestId: string,
  ) {
    super(`this handle of request ${requestId} was detached`);
  }
}

/** The caller's `timeoutMs` ended before the answer. The request is not cancelled. */
export class WaitTimeoutError extends LongcallError {
  override name = "WaitTimeoutError";
  /** The request; `client.attach(requestId)` comes back to it. `undefined` if it was about none. */
  readonly requestId: string | undefined;
  /** False when the request was still waiting here: it is withdrawn and never runs. */
  readonly sent: boolean;
  /** True when the server is known to have stored it. */
  readonly acknowledged: boolean;

  constructor(
    of: {
      readonly requestId?: string;
      readonly sent?: boolean;
      readonly acknowledged?: boolean;
    } = {},
  ) {
    const { requestId, sent = true, acknowledged = false } = of;
    const end = sent ? "is not finished within the timeout; it goes on" : "was not sent in time";
    super(
      requestId === undefined ? "not answered within the timeout" : `request ${requestId} ${end}`,
    );
    this.requestId = requestId;
    this.sent = sent;
    this.acknowledged = acknowledged;
  }
}

/** Too much already waits to be sent in this client; nothing was sent. PROTOCOL 9.5.4. */
export class QueueFullError extends LongcallError {
  override name = "QueueFullError";

  constructor(
    /** The request that was not taken. */
    readonly requestId: string,
    /** How many requests wait. */
    readonly waiting: number,
  ) {
    super(`${waiting} requests already wait to be sent`);
  }
}

/** What came is not the file: something else answered, or its bytes are not those announced. */
export class DownloadError extends LongcallError {
  override name = "DownloadError";

  constructor(
    /** The status of the HTTP response. */
    readonly status: number,
    message = `the file was answered with HTTP status ${status}`,
  ) {
    super(message);
  }
}

/** What a {@link RequestError} carries beside its code and message. */
export interface RequestErrorFields {
  readonly retryable?: boolean | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly details?: unknown;
  readonly requestId?: string | undefined;
  readonly attempt?: number | undefined;
  readonly executed?: boolean | undefined;
  readonly outcomeUnknown?: boolean | undefined;
  readonly origin?: "server" | "client" | undefined;
}

/** A request, or a question about one, was refused or failed. PROTOCOL 7, 9.8. */
export class RequestError extends LongcallError {
  override name = "RequestError";
  /** The code on the wire, as it came. */
  readonly code: ErrorCode;
  /**
   * In the end of a request: may succeed under a new id; in a refusal: under the same id.
   * PROTOCOL 10.50.
   */
  readonly retryable: boolean;
  /** How long to wait before trying again, if the server said so. */
  readonly retryAfterMs: number | undefined;
  /** What a program may need, fixed per code (PROTOCOL 7.2); `undefined` if absent. */
  readonly details: unknown;
  /** The request; `undefined` when the error is about none. */
  readonly requestId: string | undefined;
  /** The newest attempt that the handle saw; 0 before the first. */
  readonly attempt: number;
  /** True when a quick handler ran and failed. PROTOCOL 10.9. */
  readonly executed: boolean;
  /** True when the request may or may not have been stored or run. */
  readonly outcomeUnknown: boolean;
  /** Who says so: the server, or this SDK. PROTOCOL 9.8.3. */
  readonly origin: "server" | "client";

  constructor(code: ErrorCode, message: string, fields: RequestErrorFields = {}) {
    super(message);
    this.code = code;
    this.retryable = fields.retryable ?? false;
    this.retryAfterMs = fields.retryAfterMs;
    this.details = fields.details;
    this.requestId = fields.requestId;
    this.attempt = fields.attempt ?? 0;
    this.executed = fields.executed ?? false;
    this.outcomeUnknown = fields.outcomeUnknown ?? false;
    this.origin = fields.origin ?? "server";
  }
}

/** The message or payload does not fit; `details.pointer` names the place. */
export class ValidationError extends RequestError {
  override name = "ValidationError";
}

/** The token is missing, refused, expired, or names another identity. */
export class UnauthorizedError extends RequestError {
  override name = "UnauthorizedError";
}

/** The identity is known and lacks the permission. */
export class ForbiddenError extends RequestError {
  override name = "ForbiddenError";
}

/** There is no such request of this owner: never was, or is no longer. */
export class NotFoundError extends RequestError {
  override name = "NotFoundError";
}

/** The id stands for another request, or its log has expired. */
export class ConflictError extends RequestError {
  override name = "ConflictError";
}

/** No handler is registered under the action. */
export class UnknownActionError extends RequestError {
  override name = "UnknownActionError";
}

/** The server does not know a type of message that this SDK sent. */
export class UnsupportedTypeError extends RequestError {
  override name = "UnsupportedTypeError";
}

/** Something is over the limit; `details` has `limit` and `size` in bytes. */
export class PayloadTooLargeError extends RequestError {
  override name = "PayloadTooLargeError";
}

/** The server had too many messages; `retryAfterMs` says how long to wait. */
export class RateLimitedError extends RequestError {
  override name = "RateLimitedError";
}

/** A quota is used up: requests in flight, the bytes of a log. */
export class ResourceExhaustedError extends RequestError {
  override name = "ResourceExhaustedError";
}

/** The `deadlineMs` of the request passed before it was finished. */
export class RequestTimeoutError extends RequestError {
  override name = "RequestTimeoutError";
}

/** The request was cancelled; `details.reason` is the first reason that was given. */
export class RequestCancelledError extends RequestError {
  override name = "RequestCancelledError";
}

/** The server could not answer truthfully at that moment. */
export class UnavailableError extends RequestError {
  override name = "UnavailableError";
}

/** The handler failed of its own will; `details.code` is its own code. */
export class HandlerError extends RequestError {
  override name = "HandlerError";
}

/** Something unexpected broke, or the code is not known here. */
export class InternalError extends RequestError {
  override name = "InternalError";
}

const CLASSES: Readonly<Record<KnownErrorCode, typeof RequestError>> = {
  VALIDATION_ERROR: ValidationError,
  UNAUTHORIZED: UnauthorizedError,
  FORBIDDEN: ForbiddenError,
  NOT_FOUND: NotFoundError,
  CONFLICT: ConflictError,
  UNKNOWN_ACTION: UnknownActionError,
  UNSUPPORTED_TYPE: UnsupportedTypeError,
  PAYLOAD_TOO_LARGE: PayloadTooLargeError,
  RATE_LIMITED: RateLimitedError,
  RESOURCE_EXHAUSTED: ResourceExhaustedError,
  TIMEOUT: RequestTimeoutError,
  CANCELLED: RequestCancelledError,
  UNAVAILABLE: UnavailableError,
  HANDLER_ERROR: HandlerError,
  INTERNAL_ERROR: InternalError,
};

/**
 * Returns the error of the class that stands for `code`; the raw code is kept.
 *
 * A code that a later version added becomes an {@link InternalError}, with the `retryable` that came
 * with it. PROTOCOL 7.1.4.
 */
export function requestError(
  code: ErrorCode,
  message: string,
  fields: RequestErrorFields = {},
): RequestError {
  const Class = Object.hasOwn(CLASSES, code) ? CLASSES[code as KnownErrorCode] : InternalError;
  return new Class(code, message, fields);
}

/** Returns an error that this SDK found itself, before or instead of the server. PROTOCOL 9.8.3. */
export function localError(
  code: KnownErrorCode,
  message: string,
  fields: RequestErrorFields = {},
): RequestError {
  return requestError(code, message, { ...fields, origin: "client" });
}
