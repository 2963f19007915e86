// SPDX-License-Identifier: Apache-2.0
import { type LongcallError, type RequestErrorFields, requestError } from "../errors.js";
import { eventFrom, progressFrom, snapshotFrom } from "../events.js";
import { isTerminalStatus } from "../generated/codes.js";
import type * as wire from "../generated/messages.js";
import type { Context } from "./context.js";
import { dequeue, type Link } from "./link.js";
import type { Outcome, TrackedRequest } from "./request.js";
import { anotherIncarnation, type Requests } from "./requests.js";

/** A message that is about a request, or answers a question of the application. */
export type RequestsMessage =
  | wire.ResponseMessage
  | wire.AcknowledgmentMessage
  | wire.StatusMessage
  | wire.ChunkMessage
  | wire.CompleteMessage
  | wire.ErrorMessage
  | wire.ProgressMessage
  | wire.SnapshotMessage
  | wire.ListingMessage;

/** The server broke the protocol: the connection is left. PROTOCOL 10.30. */
export type Violation = string | undefined;

/** How often a log is read again because of gaps, before the connection is left. PROTOCOL 10.30. */
const MAX_GAPS = 2;

/** What the messages of the server mean for the requests. */
export class Receiver {
  readonly #context: Context;
  readonly #requests: Requests;

  constructor(context: Context, requests: Requests) {
    this.#context = context;
    this.#requests = requests;
  }

  /** Takes a message; `size` is that of its text. Returns what it breaks, if it does. */
  receive(link: Link, message: RequestsMessage, size: number, now: number): Violation {
    switch (message.type) {
      case "listing":
        link.lists.get(message.id)?.resolve(message);
        link.lists.delete(message.id);
        return undefined;
      case "progress":
        this.#requests.known.get(message.request_id)?.takeProgress(progressFrom(message));
        return undefined;
      case "snapshot":
        this.#snapshot(link, message);
        return undefined;
      case "response":
        link.unanswered.delete(message.request_id);
        this.#end(message.request_id, { ending: "answer", result: message.result });
        return undefined;
      case "error":
        if (message.seq === undefined) return this.#refusal(link, message, now);
        return this.#event(link, message.request_id, message.seq, message, size);
      case "acknowledgment":
        this.#acknowledged(link, message);
        return this.#event(link, message.request_id, 1, message, size);
      default:
        return this.#event(link, message.request_id, message.seq, message, size);
    }
  }

  /** Counts the number of a message of unknown type as taken, if it is the next. PROTOCOL 2.5.4. */
  receiveUnknown(link: Link, requestId: unknown, seq: unknown): void {
    if (typeof requestId !== "string" || typeof seq !== "number") return;
    const state = this.#requests.known.get(requestId);
    const position = link.cursors.get(requestId)?.position;
    if (state === undefined || position === undefined || seq !== position + 1) return;
    if (this.#advance(link, state, seq) !== true) return;
    for (const reader of state.readers) reader.offer(seq, undefined, 0);
  }

  #acknowledged(link: Link, message: wire.AcknowledgmentMessage): void {
    const state = this.#requests.known.get(message.request_id);
    if (state === undefined || !link.unanswered.delete(state.id)) return;
    // PROTOCOL 10.24: from here on the connection follows the request as after `attach` at 0.
    link.cursors.set(state.id, { position: 0, gaps: 0, isBroken: false });
    this.#incarnation(state, message.created_at);
    if (state.phase !== "sent") return;
    state.phase = "stored";
    state.text = "";
    state.cancels.push(...state.keptCancels.splice(0)); // PROTOCOL 10.13
    if (state.cancels.length > 0) this.#requests.sender.cancel(state);
    state.changed.fire();
  }

  #event(
    link: Link,
    requestId: string | undefined,
    seq: number,
    message: Exclude<RequestsMessage, { type: "listing" | "progress" | "snapshot" | "response" }>,
    size: number,
  ): Violation {
    const state = requestId === undefined ? undefined : this.#requests.known.get(requestId);
    if (state === undefined) return undefined;
    if (message.type === "acknowledgment" && !this.#incarnation(state, message.created_at)) {
      return undefined;
    }
    const taken = this.#advance(link, state, seq);
    if (taken !== true) return taken;
    if (message.type === "complete" || message.type === "error") {
      this.#terminal(link, state, seq, message);
      return undefined;
    }
    const event = eventFrom(message);
    state.attempt = Math.max(state.attempt, event.attempt);
    for (const reader of state.readers) reader.offer(seq, event, size);
    state.releaseProgress();
    this.#requests.sender.mark(state); // a reader may have stalled
    return undefined;
  }

  /**
   * Moves the cursor of this connection; true if `seq` is its next number.
   *
   * Numbers without a cursor, or while an `attach` is unanswered, are late: they belong to the cursor
   * before. PROTOCOL 10.26, 10.30.
   */
  #advance(link: Link, state: TrackedRequest, seq: number): true | Violation {
    const cursor = link.cursors.get(state.id);
    if (cursor === undefined || cursor.isBroken || link.attaches.has(state.id)) return undefined;
    if (seq <= cursor.position) return undefined;
    if (seq === cursor.position + 1) {
      cursor.position = seq;
      cursor.gaps = 0;
      state.knownLast = Math.max(state.knownLast, seq);
      if (seq === state.last + 1) state.last = seq;
      return true;
    }
    if (link.phase === "draining") {
      link.cursors.delete(state.id); // nothing is asked here any more
      return undefined;
    }
    if (cursor.gaps >= MAX_GAPS) return `event ${seq} of ${state.id} after ${cursor.position}`;
    cursor.gaps += 1;
    cursor.isBroken = true;
    this.#requests.sender.mark(state);
    return undefined;
  }

  #terminal(
    link: Link,
    state: TrackedRequest,
    seq: number,
    message: wire.CompleteMessage | wire.ErrorMessage,
  ): void {
    link.cursors.delete(state.id); // PROTOCOL 4.5.5
    for (const reader of state.readers) reader.finish(seq);
    const of =
      message.type === "complete"
        ? { result: message.result }
        : { error: this.#error(message.error, state) };
    this.#end(state.id, { ending: "event", ...of });
    this.#requests.touch(state);
  }

  #end(requestId: string, outcome: Outcome): void {
    const state = this.#requests.known.get(requestId);
    if (state !== undefined) this.#requests.end(state, outcome);
  }

  #snapshot(link: Link, message: wire.SnapshotMessage): void {
    const { request_id, reply_to, request } = message;
    const state = this.#requests.known.get(request_id);
    const cancel = reply_to === "cancel" ? dequeue(link.cancels, request_id) : undefined;
    const asked = reply_to === "attach" ? dequeue(link.attaches, request_id) : undefined;
    if (state !== undefined && this.#incarnation(state, request.created_at)) {
      state.refusals = 0;
      state.knownLast = Math.max(state.knownLast, request.last_seq);
      state.attempt = Math.max(state.attempt, request.attempt);
      if (isTerminalStatus(request.status)) this.#requests.sender.inFlight.delete(state);
      else if (state.phase === "stored") this.#requests.sender.inFlight.add(state);
      if (request.progress !== undefined) state.takeProgress(progressFrom(request.progress));
      state.releaseProgress();
    }
    cancel?.resolve();
    for (const question of asked?.askers ?? []) question.resolve(snapshotFrom(message));
    if (state !== undefined) this.#requests.touch(state);
  }

  /** False, and the handle ends, when this is not the incarnation that it began with. */
  #incarnation(state: TrackedRequest, createdAt: string): boolean {
    state.createdAt ??= createdAt;
    if (state.createdAt === createdAt) return true;
    this.#fail(state, anotherIncarnation(state)); // PROTOCOL 10.32
    return false;
  }

  /** Ends the handle, or, after its end, whoever reads its log again. */
  #fail(state: TrackedRequest, error: LongcallError): void {
    this.#requests.end(state, { ending: "loss", error });
    for (const reader of state.readers) if (!reader.isPassive) reader.fail(error);
    this.#requests.touch(state);
  }

  /** PROTOCOL 4.3.2: it concerns the message named by `reply_to` alone. */
  #refusal(link: Link, message: wire.ErrorMessage, now: number): Violation {
    const { request_id: requestId, reply_to: replyTo, error } = message;
    const state = requestId === undefined ? undefined : this.#requests.known.get(requestId);
    if (replyTo === "list" && message.id !== undefined) {
      link.lists.get(message.id)?.reject(this.#error(error));
      link.lists.delete(message.id);
    } else if (replyTo === "request" && state !== undefined) {
      this.#requestRefused(link, state, message, now);
    } else if (replyTo === "attach" && requestId !== undefined) {
      this.#attachRefused(link, requestId, state, error, now);
    } else if (replyTo === "cancel" && requestId !== undefined) {
      this.#cancelRefused(link, requestId, state, error, now);
    } else {
      this.#context.ignore(`an error that answers nothing: ${error.code}`);
    }
    return undefined;
  }

  #requestRefused(
    link: Link,
    state: TrackedRequest,
    message: wire.ErrorMessage,
    now: number,
  ): void {
    if (!link.unanswered.delete(state.id)) return;
    if (message.executed) {
      // PROTOCOL 10.9: it ran, and failed.
      const error = this.#error(message.error, state, { executed: true });
      this.#end(state.id, { ending: "answer", error });
    } else if (state.sends > 1 && message.error.retryable) {
      const { sender } = this.#requests;
      const waitMs = this.#context.retryWaitMs(state.refusals++, message.error.retry_after_ms);
      this.#context.timers.set(`resend ${state.id}`, now + waitMs, () => {
        if (this.#requests.isToBeResent(state)) sender.resend([state]);
      });
    } else {
      // PROTOCOL 10.4: nothing was stored, if it was sent once only.
      const error = this.#error(message.error, state, { outcomeUnknown: state.sends > 1 });
      this.#requests.end(state, { ending: "loss", error });
    }
  }

  #attachRefused(
    link: Link,
    requestId: string,
    state: TrackedRequest | undefined,
    error: wire.ErrorInfo,
    now: number,
  ): void {
    const { askers = [] } = dequeue(link.attaches, requestId) ?? {};
    link.cursors.delete(requestId);
    const isFinal = !error.retryable || error.code === "NOT_FOUND" || error.code === "CONFLICT";
    if (state === undefined || isFinal) {
      // PROTOCOL 4.3.12, 10.33
      const failure = this.#error(error, state);
      for (const question of askers) question.reject(failure);
      if (state !== undefined) this.#fail(state, failure);
      return;
    }
    state.snapshots.unshift(...askers);
    const waitMs = this.#context.retryWaitMs(state.refusals++, error.retry_after_ms);
    this.#context.timers.set(`attach ${requestId}`, now + waitMs, () => {
      this.#requests.sender.mark(state);
    });
  }

  #cancelRefused(
    link: Link,
    requestId: string,
    state: TrackedRequest | undefined,
    error: wire.ErrorInfo,
    now: number,
  ): void {
    const question = dequeue(link.cancels, requestId);
    if (question === undefined) return;
    if (state === undefined || state.outcome !== undefined) {
      question.resolve(); // it has ended, so there is nothing left to cancel
    } else if (error.code === "NOT_FOUND" && !state.isSettled) {
      state.keptCancels.push(question); // PROTOCOL 10.13
    } else if (error.retryable) {
      const waitMs = this.#context.retryWaitMs(state.refusals++, error.retry_after_ms);
      state.keptCancels.push(question);
      this.#context.timers.set(`cancel ${requestId}`, now + waitMs, () => {
        state.cancels.push(...state.keptCancels.splice(0));
        if (state.cancels.length > 0) this.#requests.sender.cancel(state);
      });
    } else {
      question.reject(this.#error(error, state));
    }
    if (state !== undefined) this.#requests.touch(state);
  }

  #error(error: wire.ErrorInfo, state?: TrackedRequest, more?: RequestErrorFields): LongcallError {
    return requestError(error.code, error.message, {
      retryable: error.retryable,
      retryAfterMs: error.retry_after_ms,
      details: error.details,
      requestId: state?.id,
      attempt: state?.attempt, // PROTOCOL 9.8.2
      ...more,
    });
  }
}
