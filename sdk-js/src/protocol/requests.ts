// SPDX-License-Identifier: Apache-2.0
import { byteLength, canonicalJson, encode } from "../codec.js";
import {
  ConflictError,
  type LongcallError,
  localError,
  QueueFullError,
  type RequestError,
} from "../errors.js";
import type { Snapshot } from "../events.js";
import { CLOSE_CODES } from "../generated/codes.js";
import type { ListingMessage, ListMessage, RequestMessage } from "../generated/messages.js";
import type { ReaderLimits } from "../options.js";
import type { Context } from "./context.js";
import type { Link } from "./link.js";
import { EventReader } from "./reader.js";
import { type CancelQuestion, type Outcome, TrackedRequest } from "./request.js";
import { Sender, tooLarge } from "./sender.js";
import type { Question } from "./signals.js";

/** What a handle keeps for its first iteration, while nobody iterates. */
const FIRST_EVENTS: ReaderLimits = { maxEvents: 64, maxBytes: 65_536 };

/** All requests that this client knows, and what the application asks of them. */
export class Requests {
  readonly known = new Map<string, TrackedRequest>();
  readonly sender: Sender;
  /** Set once the client is closed for good. */
  closedWith: ((state: TrackedRequest | undefined) => LongcallError) | undefined;

  readonly #context: Context;
  #submissions = 0;
  #lists = 0;

  constructor(context: Context) {
    this.#context = context;
    this.sender = new Sender(context, this.known, (state, error) =>
      this.end(state, { ending: "loss", error }),
    );
  }

  /** Takes a new request, or finds the one that it repeats. Throws what is wrong with it. */
  submit(message: RequestMessage, hasOwnId: boolean): TrackedRequest {
    const text = encode(message);
    if (this.closedWith) throw this.closedWith(undefined);
    const identity = hasOwnId ? identityOf(text) : undefined;
    const known = this.known.get(message.id);
    if (known !== undefined) {
      if (identity !== undefined && known.identity === identity) return known;
      throw new ConflictError("CONFLICT", "this id stands for another request of this client", {
        requestId: message.id,
        origin: "client",
      });
    }
    const number = ++this.#submissions;
    const state = new TrackedRequest(message.id, "waiting", {
      number,
      text,
      ...(identity !== undefined && { identity }),
    });
    const { waiting, waitingBytes } = this.sender;
    const { maxQueue, maxQueueBytes } = this.#context.settings;
    if (
      waiting.size >= maxQueue ||
      (waiting.size > 0 && waitingBytes + state.size > maxQueueBytes)
    ) {
      throw new QueueFullError(message.id, waiting.size); // PROTOCOL 9.5.4
    }
    this.known.set(state.id, state);
    this.sender.submit(state);
    return state;
  }

  /** Finds a request of this client, or one that is on the server. */
  attach(id: string): TrackedRequest {
    encode({ type: "attach", request_id: id, after_seq: 0 }); // throws for a bad id
    if (this.closedWith) throw this.closedWith(undefined);
    const state = this.known.get(id) ?? new TrackedRequest(id, "stored");
    this.known.set(id, state);
    return state;
  }

  /** Keeps the first events for the first iteration of a handle. */
  openPassiveReader(state: TrackedRequest): EventReader {
    const reader = new EventReader(FIRST_EVENTS, true);
    this.#addReader(state, reader);
    return reader;
  }

  /** Begins an iteration at event 1, with what the handle has kept for the first one. */
  openReader(state: TrackedRequest, first: EventReader | undefined): EventReader {
    const limits = this.#context.settings.reader;
    const reader = first ?? new EventReader(limits, false);
    if (first !== undefined) first.activate(limits);
    else this.#addReader(state, reader);
    if (this.closedWith) reader.fail(this.closedWith(state));
    return reader;
  }

  #addReader(state: TrackedRequest, reader: EventReader): void {
    const { outcome, progress } = state;
    if (outcome !== undefined && outcome.ending !== "event") endReader(reader, outcome);
    if (progress !== undefined) reader.offerProgress(progress);
    state.readers.add(reader);
  }

  snapshot(state: TrackedRequest, question: Question<Snapshot>): void {
    if (this.closedWith) question.reject(this.closedWith(state));
    else if (state.phase === "ended" && !state.hasLog) question.reject(noSnapshot(state));
    else state.snapshots.push(question);
  }

  cancel(state: TrackedRequest, reason: string | undefined, question: Question<void>): void {
    const message = { type: "cancel", request_id: state.id } as const;
    const text = encode(reason === undefined ? message : { ...message, reason });
    if (state.outcome !== undefined) question.resolve();
    else if (state.phase === "waiting") {
      // Never sent, so nobody else needs to know.
      const details = reason === undefined ? {} : { reason };
      const error = localError("CANCELLED", "cancelled before it was sent", {
        details,
        requestId: state.id,
      });
      this.end(state, { ending: "loss", error });
      question.resolve();
    } else {
      state.cancels.push({ ...question, text });
      this.sender.cancel(state);
    }
  }

  list(filters: Omit<ListMessage, "type" | "id">, question: Question<ListingMessage>): void {
    const id = `list-${++this.#lists}`;
    const text = encode({ type: "list", id, ...filters });
    if (this.closedWith) question.reject(this.closedWith(undefined));
    else this.sender.ask({ ...question, id, text });
  }

  /**
   * Finds the request that a handle means, which may have been forgotten after its end.
   *
   * @throws NotFoundError: its id stands for another incarnation by now. PROTOCOL 10.32.
   */
  revive(state: TrackedRequest): TrackedRequest {
    const known = this.known.get(state.id);
    if (known === undefined) {
      if (state.outcome === undefined || state.hasLog) this.known.set(state.id, state);
      return state;
    }
    if (state.createdAt !== undefined && (known.createdAt ?? state.createdAt) !== state.createdAt) {
      throw anotherIncarnation(state);
    }
    return known;
  }

  /** Looks what is to be done after handles, iterators or questions of a request came or went. */
  touch(state: TrackedRequest): void {
    const isAsked = state.cancels.length + state.keptCancels.length + state.snapshots.length > 0;
    const isRead = [...state.readers].some((reader) => !reader.isPassive && !reader.isOver);
    const isUsed = state.handles + state.waiters > 0 || isRead || isAsked;
    const isForgotten =
      state.phase === "ended"
        ? !(isRead || isAsked) // its handles find it again, see `revive`
        : // PROTOCOL 9.5.5: not sent once nobody wants it. What was sent counts as in flight.
          !isUsed &&
          (state.phase === "waiting" ||
            state.sends === 0 ||
            (state.phase === "stored" && !this.sender.inFlight.has(state)));
    if (isForgotten) this.#forget(state);
    this.sender.mark(state);
  }

  /** Ends a request for this client; the first outcome wins. PROTOCOL 10.39. */
  end(state: TrackedRequest, outcome: Outcome): void {
    if (state.outcome !== undefined) return;
    state.outcome = outcome;
    state.phase = "ended";
    state.text = "";
    this.sender.forget(state);
    this.#context.timers.cancel(`resend ${state.id}`);
    for (const link of this.#context.links) link.unanswered.delete(state.id);
    for (const cancel of [...state.cancels, ...state.keptCancels]) cancel.resolve();
    state.cancels = [];
    state.keptCancels = [];
    if (outcome.ending !== "event") {
      for (const reader of state.readers) endReader(reader, outcome);
      for (const snapshot of state.snapshots) snapshot.reject(noSnapshot(state));
      state.snapshots = [];
    }
    state.changed.fire();
    this.touch(state);
  }

  /** Ends everything, because the client is closed for good. */
  endAll(error: (state: TrackedRequest | undefined) => LongcallError): void {
    this.closedWith = error;
    for (const question of this.sender.takeLists()) question.reject(error(undefined));
    for (const link of this.#context.links) {
      for (const question of link.lists.values()) question.reject(error(undefined));
      for (const [id, questions] of link.cancels) {
        for (const question of questions) question.reject(error(this.known.get(id)));
      }
      for (const [id, asked] of link.attaches) {
        for (const { askers } of asked) {
          for (const question of askers) question.reject(error(this.known.get(id)));
        }
      }
    }
    for (const state of [...this.known.values()]) {
      for (const reader of state.readers) reader.fail(error(state));
      for (const question of [...state.cancels, ...state.keptCancels, ...state.snapshots]) {
        question.reject(error(state));
      }
      state.cancels = [];
      state.keptCancels = [];
      state.snapshots = [];
      this.end(state, { ending: "loss", error: error(state) });
    }
    this.known.clear();
  }

  /** A connection welcomed us: says again what is not answered, and reads on. PROTOCOL 9.5. */
  linkReady(): void {
    this.sender.resend([...this.known.values()].filter((state) => this.isToBeResent(state)));
    for (const state of this.known.values()) {
      if (state.cancels.length > 0) this.sender.cancel(state);
      this.sender.mark(state);
    }
  }

  /** A connection is gone: what was unanswered on it is asked again. */
  linkLost(link: Link, code: number | undefined): void {
    const last = link.lastSent;
    const limit = link.terms?.limits.max_message_bytes ?? 0;
    const isTooBig = code === CLOSE_CODES.MESSAGE_TOO_BIG.code; // PROTOCOL 10.43
    for (const [id, questions] of link.cancels) {
      this.#askCancelsAgain(id, questions, isTooBig ? last : undefined, limit);
    }
    for (const { state, askers } of [...link.attaches.values()].flat()) {
      if (askers.length === 0) continue;
      const known = this.known.get(state.id) ?? state; // it may have been forgotten meanwhile
      this.known.set(state.id, known);
      known.snapshots.push(...askers);
    }
    for (const question of link.lists.values()) {
      if (isTooBig && question === last)
        question.reject(tooLarge(byteLength(question.text), limit));
      else this.sender.ask(question);
    }
    if (isTooBig && last instanceof TrackedRequest && link.unanswered.has(last.id)) {
      this.end(last, { ending: "loss", error: tooLarge(last.size, limit, last) });
    }
    this.sender.resend([...link.unanswered.values()].filter((state) => this.isToBeResent(state)));
    for (const state of this.known.values()) this.sender.mark(state);
  }

  /** True for a request that is not settled and was sent where it is not answered any more. */
  isToBeResent(state: TrackedRequest): boolean {
    // PROTOCOL 10.37: not while another connection, which is draining, may still answer it.
    const isUnanswered = this.#context.links.some((link) => link.unanswered.has(state.id));
    const isPaused = this.#context.timers.has(`resend ${state.id}`);
    return state.phase === "sent" && !isUnanswered && !isPaused;
  }

  #askCancelsAgain(
    id: string,
    questions: readonly CancelQuestion[],
    tooBig: unknown,
    limit: number,
  ): void {
    const state = this.known.get(id);
    for (const question of questions) {
      if (question === tooBig) question.reject(tooLarge(byteLength(question.text), limit, state));
      else if (state === undefined || state.outcome !== undefined) question.resolve();
      else state.cancels.push(question);
    }
    if (state !== undefined && state.cancels.length > 0) this.sender.cancel(state);
  }

  #forget(state: TrackedRequest): void {
    this.sender.forget(state);
    this.#context.timers.cancel(`attach ${state.id}`);
    this.#context.timers.cancel(`resend ${state.id}`);
    this.#context.timers.cancel(`cancel ${state.id}`);
    if (this.known.get(state.id) === state) this.known.delete(state.id);
  }
}

/** Returns what two requests that are the same have in common. PROTOCOL 10.23. */
function identityOf(text: string): string {
  const { action, payload = null } = JSON.parse(text) as RequestMessage;
  return canonicalJson([action, payload]);
}

/** Ends an iterator of a request without terminal event: there was none, or it cannot be had. */
function endReader(reader: EventReader, { ending, error }: Outcome): void {
  if (ending === "loss" && error !== undefined) reader.fail(error);
  else reader.finishEmpty();
}

/** Returns the error for a snapshot of what has no log: it was never stored, or is lost. */
function noSnapshot({ id, outcome }: TrackedRequest): LongcallError {
  if (outcome?.ending === "loss" && outcome.error !== undefined) return outcome.error;
  // PROTOCOL 10.11
  return localError("NOT_FOUND", "the request was answered at once, and is not stored", {
    requestId: id,
  });
}

/** Returns the error of a handle whose id was used again. PROTOCOL 10.32. */
export function anotherIncarnation(state: TrackedRequest): RequestError {
  return localError("NOT_FOUND", "the request is gone: its id stands for a later one", {
    requestId: state.id,
    attempt: state.attempt,
  });
}
