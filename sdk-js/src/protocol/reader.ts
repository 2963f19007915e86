// SPDX-License-Identifier: Apache-2.0
import type { LongcallError } from "../errors.js";
import type { Chunk, Progress, RequestEvent, Status } from "../events.js";
import type { ReaderLimits } from "../options.js";
import { Signal } from "./signals.js";

interface Waiting {
  event: RequestEvent;
  readonly size: number;
}

/** True when `a` is newer progress than `b`. PROTOCOL 10.36. */
export function isNewer(a: Progress, b: Progress | undefined): boolean {
  if (b === undefined) return true;
  return a.attempt > b.attempt || (a.attempt === b.attempt && a.version > b.version);
}

/**
 * One iterator's place in the log of a request, and the events that wait there for it: from number 1
 * on, each once and in order, as far as they have arrived.
 *
 * The log stands on the server, so little is kept here: a reader that holds as much as it may is
 * *stalled* and takes no more, until the application has taken half of it. What it misses meanwhile
 * is read again, after its position. So a slow application costs bounded memory, and holds up nobody
 * else. PROTOCOL 6.4.4, 9.2.
 */
export class EventReader {
  /** The number of the last event taken in. */
  position = 0;
  /** What ended it before the terminal event. */
  error: LongcallError | undefined;
  /** True while it is kept for the first iteration, before there is one. */
  isPassive: boolean;
  /** Fires when there is something new to take. */
  readonly changed = new Signal();

  #limits: ReaderLimits;
  #isFinished = false;
  #isStalled = false;
  #attempt = 0;
  #queue: Waiting[] = [];
  #taken = 0; // of the queue: shifting an array for each event would be slow
  #bytes = 0;
  #progress: Waiting | undefined; // the one in the queue, if any
  #held: Progress | undefined; // waits for the beginning of its attempt
  #newest: Progress | undefined;

  constructor(limits: ReaderLimits, isPassive: boolean) {
    this.#limits = limits;
    this.isPassive = isPassive;
  }

  /** True while it takes what comes next. */
  get isHungry(): boolean {
    return !this.#isStalled && !this.isOver;
  }

  /** True when nothing more comes in; something may still wait in it. */
  get isOver(): boolean {
    return this.#isFinished || this.error !== undefined;
  }

  /** True when `pop` gives an event, or never will. */
  get hasNews(): boolean {
    return this.#queue.length > this.#taken || this.isOver;
  }

  /** Hands a passive reader to an iteration. */
  activate(limits: ReaderLimits): void {
    this.isPassive = false;
    this.#limits = limits;
    this.#isStalled = this.#isFull;
  }

  /** Takes the next event; `undefined` for a message of unknown type. Others are left. */
  offer(seq: number, event: Status | Chunk | undefined, size: number): void {
    if (!this.isHungry || seq !== this.position + 1) return;
    this.position = seq;
    if (event?.kind === "status" && event.status === "processing") this.#attempt = event.attempt;
    if (event !== undefined) this.#push({ event, size });
  }

  /** Takes progress that is newer than the newest; it waits for `release`. */
  offerProgress(progress: Progress): void {
    if (this.isOver || !isNewer(progress, this.#newest)) return;
    this.#newest = progress;
    this.#held = progress;
  }

  /** Lets held progress out once its attempt has begun here, or nothing numbered comes before it. */
  release(lastSeq: number): void {
    const held = this.#held;
    if (held === undefined || (held.attempt > this.#attempt && this.position < lastSeq)) return;
    this.#held = undefined;
    if (
      this.#progress?.event.kind === "progress" &&
      this.#progress.event.attempt === held.attempt
    ) {
      this.#progress.event = held; // newest wins, in the place of the older
    } else {
      this.#progress = { event: held, size: 0 };
      this.#push(this.#progress);
    }
  }

  /** Takes the terminal event, if it is the next; the last progress comes before it. */
  finish(seq: number): void {
    if (!this.isHungry || seq !== this.position + 1) return;
    this.release(0);
    this.position = seq;
    this.finishEmpty();
  }

  /** Ends it without a terminal event: a quick request has no log. */
  finishEmpty(): void {
    this.#isFinished = true;
    this.changed.fire();
  }

  /** Ends it with an error, behind what already waits. */
  fail(error: LongcallError): void {
    if (this.isOver) return;
    this.error = error;
    this.changed.fire();
  }

  /** Returns the next event, or `undefined` if none waits. */
  pop(): RequestEvent | undefined {
    const waiting = this.#queue[this.#taken];
    if (waiting === undefined) return undefined;
    this.#taken += 1;
    if (this.#taken * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#taken);
      this.#taken = 0;
    }
    this.#bytes -= waiting.size;
    if (waiting === this.#progress) this.#progress = undefined;
    const { maxEvents, maxBytes } = this.#limits;
    if (this.#length <= maxEvents / 2 && this.#bytes <= maxBytes / 2) this.#isStalled = false;
    return waiting.event;
  }

  get #length(): number {
    return this.#queue.length - this.#taken;
  }

  get #isFull(): boolean {
    return this.#length >= this.#limits.maxEvents || this.#bytes >= this.#limits.maxBytes;
  }

  #push(waiting: Waiting): void {
    this.#queue.push(waiting);
    this.#bytes += waiting.size;
    if (this.#isFull) this.#isStalled = true;
    this.changed.fire();
  }
}
