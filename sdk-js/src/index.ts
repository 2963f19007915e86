// SPDX-License-Identifier: Apache-2.0
/**
 * Call an action, watch its progress, get its result, whatever happens in between.
 *
 * @packageDocumentation
 */
export type { ActionTypes, Untyped } from "./actions.js";
export {
  type CallOptions,
  Client,
  connect,
  type HandleOf,
  type RequestFilters,
  type RequestOptions,
  type SubmitOptions,
} from "./client.js";
export { canonicalJson } from "./codec.js";
export type { Patience } from "./connection.js";
export {
  ConfigurationError,
  ConflictError,
  ConnectionClosedError,
  DetachedError,
  DownloadError,
  ForbiddenError,
  HandlerError,
  InternalError,
  LongcallError,
  NotFoundError,
  PayloadTooLargeError,
  QueueFullError,
  RateLimitedError,
  RequestCancelledError,
  RequestError,
  type RequestErrorFields,
  RequestTimeoutError,
  ResourceExhaustedError,
  UnauthorizedError,
  UnavailableError,
  UnknownActionError,
  UnsupportedTypeError,
  ValidationError,
  WaitTimeoutError,
} from "./errors.js";
export type {
  Announcement,
  Chunk,
  ClientState,
  ErrorInfo,
  Progress,
  RequestEvent,
  RequestSummary,
  Snapshot,
  Status,
} from "./events.js";
export type { ErrorCode, RequestStatus } from "./generated/codes.js";
export { type Callbacks, RequestHandle } from "./handle.js";

export type { ClientOptions, Clock, Token, TokenReason } from "./options.js";
export type { PageSignal, PageSignals } from "./page.js";

export type { Persistence } from "./persistence.js";
export type { WebSocketConstructor, WebSocketLike } from "./transport.js";
export { VERSION } from "./version.js";
