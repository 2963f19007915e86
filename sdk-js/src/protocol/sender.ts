// SPDX-License-Identifier: Apache-2.0
import { byteLength, encode, withResend } from "../codec.js";
import { localError, type RequestError } from "../errors.js";
import type { AttachMessage, ClientMessage, DetachMessage } from "../generated/messages.js";
import type { Context } from "./context.js";
import { enqueue, type Link, type ListQuestion } from "./link.js";
import type { TrackedRequest } from "./request.js";

/**
 * Milliseconds between questions whether requests that nobody reads have ended; asked only while new
 * requests wait for room in the window.
 */
const POLL_INTERVAL_MS = 5_000;

/**
 * Sends what is due on the ready link, as far as the server's limits let it. Nothing here is a queue
 * of frames: each is made from what is known when it goes.
 *
 * On a new connection the order is: requests sent again, cancels, attaches, lists, new requests.
 * PROTOCOL 9.5, 9.6, 10.13.
 */
export class Sender {
  /** What may count as stored and unfinished on the server. PROTOCOL 9.6.2. */
  readonly inFlight = new Set<TrackedRequest>();
  /** What waits for its first sending. */
  readonly waiting = new Set<TrackedRequest>();
  waitingBytes = 0;

  readonly #context: Context;
  readonly #known: ReadonlyMap<string, TrackedRequest>;
  readonly #end: (state: TrackedRequest, error: RequestError) => void;
  #resends = new Set<TrackedRequest>();
  readonly #cancels = new Set<TrackedRequest>();
  readonly #attention = new Set<TrackedRequest>(); // to attach or detach, perhaps
  readonly #lists = new Set<ListQuestion>();

  /**
   * @param known - the requests of this client.
   * @param end - ends a request with an error that was found here.
   */
  constructor(
    context: Context,
    known: ReadonlyMap<string, TrackedRequest>,
    end: (state: TrackedRequest, error: RequestError) => void,
  ) {
    this.#context = context;
    this.#known = known;
    this.#end = end;
  }

  /** True while attaches are still to be sent. */
  get isMoving(): boolean {
    return this.#attention.size > 0;
  }

  /** Sends a new request when its turn comes. */
  submit(state: TrackedRequest): void {
    this.waiting.add(state);
    this.waitingBytes += state.size;
  }

  /** Sends requests again, all in the order of their first sending. PROTOCOL 9.5.1. */
  resend(states: Iterable<TrackedRequest>): void {
    const all = [...this.#resends, ...states];
    this.#resends = new Set(all.sort((a, b) => a.number - b.number));
  }

  /** Sends the cancels of this request. */
  cancel(state: TrackedRequest): void {
    this.#cancels.add(state);
  }

  /** Looks whether this request is read where it should be. */
  mark(state: TrackedRequest): void {
    this.#attention.add(state);
  }

  ask(question: ListQuestion): void {
    this.#lists.add(question);
  }

  /** Sends nothing more for this request. */
  forget(state: TrackedRequest): void {
    if (this.waiting.delete(state)) this.waitingBytes -= state.size;
    this.#resends.delete(state);
    this.#cancels.delete(state);
    this.inFlight.delete(state);
  }

  /** Returns the lists that are still to be asked, and forgets them. */
  takeLists(): ListQuestion[] {
    const lists = [...this.#lists];
    this.#lists.clear();
    return lists;
  }

  /** Sends a message that waits for no limit: `ping`, `refresh`. */
  sendNow(link: Link, message: ClientMessage, now: number): void {
    link.terms?.bucket.force(now);
    link.lastSent = undefined;
    this.#context.send(link, encode(message));
  }

  /** Sends all that may be sent now. */
  pump(now: number): void {
    for (const link of this.#context.draining) {
      if (link.phase === "draining") this.#drain(link, now, () => this.#sendCancel(link));
    }
    const link = this.#context.ready;
    if (link === undefined) return;
    this.#drain(
      link,
      now,
      () =>
        this.#sendResend(link, now) ||
        this.#sendCancel(link) ||
        this.#sendAttach(link) ||
        this.#sendList(link) ||
        this.#sendNew(link, now),
    );
  }

  #drain(link: Link, now: number, sendNext: () => boolean): void {
    const bucket = link.terms?.bucket;
    const idle = [this.#resends, this.#cancels, this.#attention, this.#lists, this.waiting];
    while (bucket !== undefined && idle.some((pending) => pending.size > 0)) {
      if (!bucket.take(now)) {
        this.#context.timers.set(`bucket ${link.id}`, bucket.readyAt(now), () => {});
        return;
      }
      if (!sendNext()) {
        bucket.giveBack();
        return;
      }
    }
  }

  #sendResend(link: Link, now: number): boolean {
    for (const state of this.#resends) {
      this.#resends.delete(state);
      if (now - state.firstSentAt > (link.terms?.limits.id_retention_ms ?? 0)) {
        this.#end(state, expired(state)); // PROTOCOL 10.31
        continue;
      }
      const text = withResend(state.text);
      if (!this.#fits(link, state, byteLength(text))) continue;
      this.#sendRequest(link, state, text);
      return true;
    }
    return false;
  }

  #sendNew(link: Link, now: number): boolean {
    for (const state of this.waiting) {
      if (this.inFlight.size >= (link.terms?.limits.max_in_flight ?? 0)) {
        this.#poll(now);
        return false;
      }
      if (!this.#fits(link, state, state.size)) continue;
      this.waiting.delete(state);
      this.waitingBytes -= state.size;
      state.phase = "sent";
      state.firstSentAt = now;
      this.#sendRequest(link, state, state.text);
      return true;
    }
    return false;
  }

  #sendRequest(link: Link, state: TrackedRequest, text: string): void {
    state.sends += 1;
    this.inFlight.add(state);
    link.unanswered.set(state.id, state);
    link.lastSent = state;
    this.#context.send(link, text);
  }

  /** Ends a request that is over the limit of this connection. PROTOCOL 10.43. */
  #fits(link: Link, state: TrackedRequest, size: number): boolean {
    const limit = link.terms?.limits.max_message_bytes ?? 0;
    if (size <= limit) return true;
    this.#end(state, tooLarge(size, limit, state));
    return false;
  }

  #poll(now: number): void {
    if (this.#context.timers.has("poll")) return;
    this.#context.timers.set("poll", now + POLL_INTERVAL_MS, () => {
      if (this.waiting.size === 0) return;
      for (const state of this.inFlight) {
        state.isPolled = state.hasLog && state.wanted === undefined;
        if (state.isPolled) this.mark(state);
      }
    });
  }

  #sendCancel(link: Link): boolean {
    for (const state of this.#cancels) {
      // Behind its own `request`, wherever that is unanswered. PROTOCOL 10.13, 6.8.10.
      const isHere =
        state.phase === "stored" ? link.phase === "ready" : link.unanswered.has(state.id);
      if (!isHere) continue;
      const question = state.cancels.shift();
      if (state.cancels.length === 0) this.#cancels.delete(state);
      if (question === undefined) continue;
      enqueue(link.cancels, state.id, question);
      link.lastSent = question;
      this.#context.send(link, question.text);
      return true;
    }
    return false;
  }

  #sendAttach(link: Link): boolean {
    for (const state of this.#attention) {
      this.#attention.delete(state);
      const message = this.#reconcile(link, state);
      if (message === undefined) continue;
      link.lastSent = undefined;
      this.#context.send(link, encode(message));
      return true;
    }
    return false;
  }

  /** Returns what makes this link read the log where it is wanted; `undefined` if it does. */
  #reconcile(link: Link, state: TrackedRequest): AttachMessage | DetachMessage | undefined {
    const { id: request_id, wanted } = state;
    if ((this.#known.get(request_id) ?? state) !== state) return undefined; // another's cursor
    const isAsked = state.snapshots.length > 0 || state.isPolled;
    if (wanted === undefined && !isAsked) {
      return link.cursors.delete(request_id) ? { type: "detach", request_id } : undefined;
    }
    const isPaused = this.#context.timers.has(`attach ${request_id}`); // refused; its turn comes
    // PROTOCOL 4.5.9: no `attach` while the `request` of that id is unanswered here.
    if (!state.hasLog || isPaused || link.unanswered.has(request_id)) return undefined;
    const cursor = link.cursors.get(request_id);
    const isRight = cursor !== undefined && !cursor.isBroken && cursor.position <= (wanted ?? -1);
    if (isRight && !isAsked) return undefined;
    enqueue(link.attaches, request_id, { state, askers: state.snapshots });
    state.snapshots = [];
    state.isPolled = false;
    if (wanted === undefined) {
      link.cursors.delete(request_id); // a question only: nothing of the log is taken
      return { type: "attach", request_id, after_seq: state.last, follow: false };
    }
    const gaps = cursor?.isBroken ? cursor.gaps : 0;
    link.cursors.set(request_id, { position: wanted, gaps, isBroken: false });
    return { type: "attach", request_id, after_seq: wanted };
  }

  #sendList(link: Link): boolean {
    for (const question of this.#lists) {
      this.#lists.delete(question);
      const size = byteLength(question.text);
      const limit = link.terms?.limits.max_message_bytes ?? 0;
      if (size > limit) {
        question.reject(tooLarge(size, limit));
        continue;
      }
      link.lists.set(question.id, question);
      link.lastSent = question;
      this.#context.send(link, question.text);
      return true;
    }
    return false;
  }
}

/** Returns the error for a message over the limit. PROTOCOL 10.43. */
export function tooLarge(size: number, limit: number, state?: TrackedRequest): RequestError {
  return localError(
    "PAYLOAD_TOO_LARGE",
    `the message has ${size} bytes, the server takes ${limit}`,
    {
      details: { limit, size },
      requestId: state?.id,
      outcomeUnknown: state !== undefined && state.sends > 0,
    },
  );
}

function expired(state: TrackedRequest): RequestError {
  return localError("CONFLICT", "the request was sent too long ago to be sent again", {
    details: { reason: "expired" },
    requestId: state.id,
    outcomeUnknown: true,
  });
}
