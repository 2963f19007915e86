// SPDX-License-Identifier: Apache-2.0
import { RequestError } from "../errors.js";
import { ERROR_CODES, type KnownErrorCode } from "../generated/codes.js";
import type * as wire from "../generated/messages.js";
import type { TestClock } from "./clock.js";
import { checked, errorFrom, type Failure, timestamp } from "./messages.js";

/** How long a cancelled script may go on before the request ends anyway. PROTOCOL 5.6. */
const CANCEL_GRACE_MS = 10_000;

/** A message of the log. */
export type LogEvent =
  | wire.AcknowledgmentMessage
  | wire.StatusMessage
  | wire.ChunkMessage
  | wire.CompleteMessage
  | wire.ErrorMessage;

/** What a script reports of its progress. */
export interface ProgressFields {
  /** 0 to 100. */
  readonly percentage?: number;
  readonly message?: string;
  readonly details?: unknown;
}

// biome-ignore lint/suspicious/noExplicitAny: what a script expects of the payload is its own affair
type AnyScript = (request: any) => unknown;

/** Any request. */
export type Owned = Pick<InMemoryRequest, "id" | "principal" | "log" | "isFinished">;

/** Who is told of what happens to a request. */
export interface Watcher {
  onEvent(request: Owned, event: LogEvent): void;
  onProgress(request: Owned, progress: wire.ProgressMessage): void;
  /** A quick request was answered: it is not stored. */
  onAnswer(request: Owned, answer: wire.ResponseMessage | wire.ErrorMessage): void;
}

/**
 * A request as the server has it: its log, and the ways to go on with it. A script gets it; a test
 * gets it from `server.next()`, and plays the handler itself.
 *
 * What is reported is checked by the schema: what no server may send throws here.
 */
export class InMemoryRequest<Payload = unknown> {
  /** The id that the client chose. */
  readonly id: string;
  readonly action: string;
  /** What was sent; `undefined` if nothing was. */
  readonly payload: Payload;
  /** The message as it came first. */
  readonly message: wire.RequestMessage;
  /** Whose it is: what `authenticate` gave. */
  readonly principal: string;
  readonly createdAt: string;
  readonly log: LogEvent[] = [];
  /** How it stands. */
  status: wire.RequestSummary["status"] = "queued";
  /** The newest attempt; 0 before the first. */
  attempt = 0;
  /** The newest progress. */
  newest: wire.ProgressState | undefined;
  /** How often a script was started for it: its attempts. */
  executions = 0;
  isStored = false;

  readonly #clock: TestClock;
  readonly #watcher: Watcher;
  readonly #cancel = new AbortController();
  readonly #timers = new Set<unknown>();
  #script: AnyScript | undefined;
  #cancelDetails: { readonly reason?: string } = {};
  #version = 0;
  #keptTo = 0;
  #isRunning = false;
  #isAnswered = false;
  #updatedAt: string;

  constructor(message: wire.RequestMessage, principal: string, clock: TestClock, watcher: Watcher) {
    this.id = message.id;
    this.action = message.action;
    this.payload = message.payload as Payload;
    this.message = message;
    this.principal = principal;
    this.#clock = clock;
    this.#watcher = watcher;
    this.createdAt = timestamp(clock);
    this.#updatedAt = this.createdAt;
  }

  /** Aborted when the request is to end: cancelled, or timed out. Its `reason` is a text. */
  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  /** True once it has ended. */
  get isFinished(): boolean {
    return this.#isAnswered || ["completed", "failed", "cancelled"].includes(this.status);
  }

  /** Reports progress; the newest is what counts. */
  progress(fields: ProgressFields): void {
    this.#begin();
    const { percentage, message, details } = fields;
    const version = ++this.#version;
    const state: wire.ProgressState = { attempt: this.attempt, version, updated_at: this.#now() };
    if (percentage !== undefined) state.percentage = percentage;
    if (message !== undefined) state.message = message;
    if (details !== undefined) state.details = details;
    const told = checked({ type: "progress", request_id: this.id, ...state });
    this.newest = state;
    if (this.isStored) this.#watcher.onProgress(this, told);
  }

  /**
   * Sends a piece of the result.
   *
   * @param options.checkpoint - true: the pieces up to this one stand when another attempt begins.
   */
  chunk(data: unknown, options: { readonly checkpoint?: boolean } = {}): void {
    this.#begin();
    this.store(); // PROTOCOL 10.10
    const seq = this.log.length + 1;
    this.#append({ type: "chunk", request_id: this.id, seq, attempt: this.attempt, data });
    if (options.checkpoint) this.#keptTo = seq;
  }

  /** Ends it with a result; `undefined` is null. */
  complete(result: unknown = null): void {
    this.#begin();
    if (this.isStored) {
      const seq = this.log.length + 1;
      const event = checked({ type: "complete", request_id: this.id, seq, result } as const);
      this.#finish("completed");
      this.#append(event);
    } else {
      this.#answer(checked({ type: "response", request_id: this.id, result }));
    }
  }

  /** Ends it with an error. `code` is one of the protocol's; a handler's own goes into `details.code`. */
  fail(code: KnownErrorCode, message = `scripted ${code}`, of: Failure = {}): void {
    this.#begin();
    const error = errorFrom(code, message, of);
    if (this.isStored) {
      this.#end(error);
    } else {
      const executed = { reply_to: "request", executed: true } as const; // PROTOCOL 10.9
      this.#answer(checked({ type: "error", request_id: this.id, ...executed, error }));
    }
  }

  /** The attempt fails, and the next one begins after `afterMs`; the script runs again. */
  retry(afterMs = 0, code: KnownErrorCode = "INTERNAL_ERROR", message = "scripted failure"): void {
    this.#begin();
    this.store();
    this.#append({
      type: "status",
      request_id: this.id,
      seq: this.log.length + 1,
      status: "retrying",
      attempt: this.attempt,
      chunks_kept_to: this.#keptTo,
      retry_at: timestamp(this.#clock, afterMs),
      error: errorFrom(code, message, { retryable: true }),
    } as wire.StatusMessage);
    this.status = "retrying";
    this.#isRunning = false;
    this.#after(afterMs, () => this.#run());
  }

  /** Stores it, if it is not: event 1. Later events come from the log. @internal */
  store(): void {
    if (this.isStored) return;
    this.isStored = true;
    this.#append({
      type: "acknowledgment",
      request_id: this.id,
      seq: 1,
      status: "queued",
      created_at: this.createdAt,
    });
    if (this.#isRunning) this.#processing();
    const { deadline_ms: deadline } = this.message;
    if (deadline !== undefined) {
      this.#after(deadline, () => this.#stop("TIMEOUT", "the deadline passed"));
    }
  }

  /**
   * Begins to run a script; without one, somebody plays the handler.
   *
   * @param promoteAfterMs - of a quick action: when it is stored after all. @internal
   */
  start(script: AnyScript | undefined, promoteAfterMs?: number): void {
    this.#script = script;
    if (promoteAfterMs === undefined) this.store();
    else this.#after(promoteAfterMs, () => this.store());
    if (script) this.#after(this.message.delay_ms ?? 0, () => this.#run());
  }

  /** PROTOCOL 5.6, 10.14. @internal */
  cancel(reason: string | undefined): void {
    if (this.isFinished || this.#cancel.signal.aborted) return;
    this.store(); // PROTOCOL 10.12
    if (reason !== undefined) this.#cancelDetails = { reason };
    const end = () => this.#stop("CANCELLED", "it was cancelled", this.#cancelDetails);
    if (!this.#isRunning || this.#script === undefined) {
      end();
      this.#cancel.abort(reason);
      return;
    }
    this.#cancel.abort(reason ?? "cancelled");
    this.#after(CANCEL_GRACE_MS, end);
  }

  /** Stops what runs, because the server stops. @internal */
  abandon(): void {
    for (const timer of this.#timers) this.#clock.clearTimeout(timer);
    this.#timers.clear();
    this.#cancel.abort("the server stopped");
  }

  /** @internal */
  summary(): wire.RequestSummary {
    return {
      id: this.id,
      action: this.action,
      status: this.status,
      attempt: this.attempt,
      created_at: this.createdAt,
      updated_at: this.#updatedAt,
      last_seq: this.log.length,
      ...(this.#cancel.signal.aborted && { cancel_requested: true }),
      ...(this.newest && { progress: this.newest }),
    };
  }

  /** Begins an attempt, unless one runs; a request that has ended throws. */
  #begin(): void {
    if (this.isFinished) throw new Error(`request ${this.id} has ended: ${this.status}`);
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.attempt += 1;
    this.#version = 0;
    if (this.isStored) this.#processing();
  }

  #processing(): void {
    this.status = "processing";
    this.#append({
      type: "status",
      request_id: this.id,
      seq: this.log.length + 1,
      status: "processing",
      attempt: this.attempt,
      chunks_kept_to: this.#keptTo,
    });
  }

  #run(): void {
    if (this.isFinished || this.#script === undefined) return;
    this.#begin();
    this.executions += 1;
    const { attempt } = this;
    const script = this.#script;
    const isCurrent = () => !this.isFinished && this.#isRunning && this.attempt === attempt;
    void (async () => script(this))().then(
      (result) => isCurrent() && this.complete(result),
      (error: unknown) => isCurrent() && this.#failed(error),
    );
  }

  /** A script threw: a RequestError is what it says, anything else an accident. PROTOCOL 7.1. */
  #failed(error: unknown): void {
    if (this.#cancel.signal.aborted) {
      this.#stop("CANCELLED", "it was cancelled", this.#cancelDetails);
    } else if (error instanceof RequestError && Object.hasOwn(ERROR_CODES, error.code)) {
      this.fail(error.code as KnownErrorCode, error.message, error);
    } else {
      this.fail("INTERNAL_ERROR", error instanceof Error ? error.message : String(error));
    }
  }

  #stop(code: KnownErrorCode, message: string, details?: object): void {
    if (this.isFinished) return;
    this.#end(errorFrom(code, message, details ? { details } : {}));
    this.#cancel.abort(message);
  }

  #end(error: wire.ErrorInfo): void {
    const seq = this.log.length + 1;
    const event = checked({ type: "error", request_id: this.id, seq, error } as const);
    this.#finish(error.code === "CANCELLED" ? "cancelled" : "failed");
    this.#append(event);
  }

  #answer(answer: wire.ResponseMessage | wire.ErrorMessage): void {
    this.#isAnswered = true;
    this.#finish(answer.type === "response" ? "completed" : "failed");
    this.#watcher.onAnswer(this, answer);
  }

  #finish(status: string): void {
    this.status = status;
    this.#isRunning = false;
    for (const timer of this.#timers) this.#clock.clearTimeout(timer);
    this.#timers.clear();
  }

  #append(event: LogEvent): void {
    this.log.push(checked(event));
    this.#updatedAt = this.#now();
    this.#watcher.onEvent(this, event);
  }

  #after(ms: number, action: () => void): void {
    if (ms <= 0) {
      void Promise.resolve().then(action);
      return;
    }
    const timer = this.#clock.setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  #now(): string {
    return timestamp(this.#clock);
  }
}
