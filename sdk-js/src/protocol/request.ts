// SPDX-License-Identifier: Apache-2.0
import { byteLength } from "../codec.js";
import type { LongcallError } from "../errors.js";
import type { Progress, Snapshot } from "../events.js";
import { type EventReader, isNewer } from "./reader.js";
import { type Question, Signal } from "./signals.js";

/** How far a request has come, seen from here: never sent; sent and not settled; in its log; over. */
export type Phase = "waiting" | "sent" | "stored" | "ended";

/**
 * By what a handle ended: the terminal `event` of its log, which can be read again; the `answer` to a
 * quick request, which has no log; or a `loss`, which is anything else: refused, gone, closed. After
 * a loss an iterator throws the error instead of ending.
 */
export type Ending = "event" | "answer" | "loss";

/** How a request ended for this client: with a result or an error. */
export interface Outcome {
  readonly ending: Ending;
  readonly result?: unknown;
  readonly error?: LongcallError;
}

/** A `cancel` that is to be sent, or awaits its answer. */
export interface CancelQuestion extends Question<void> {
  readonly text: string;
}

/** What a client knows of one request: all its handles, iterators and waiters share this. */
export class TrackedRequest {
  readonly id: string;
  phase: Phase;
  /** Counts submissions, which are sent again in this order. PROTOCOL 9.5.1. */
  readonly number: number;
  /** The `request` as it is sent first; empty once it is settled, or never was ours. */
  text: string;
  /** Its size in bytes. */
  readonly size: number;
  /** Stands for action and payload where the caller chose the id. */
  readonly identity: string | undefined;
  /** How often the `request` was sent. */
  sends = 0;
  firstSentAt = 0;
  /** The incarnation, once it is known. PROTOCOL 10.32. */
  createdAt: string | undefined;
  /** The number of the newest event that arrived, whoever took it. */
  last = 0;
  /** The newest number that is known to exist. */
  knownLast = 0;
  /** The newest attempt that was seen. */
  attempt = 0;
  progress: Progress | undefined;
  outcome: Outcome | undefined;
  /** Fires when it is settled and when it ends. */
  readonly changed = new Signal();
  /** How many local handles there are, whether they follow it or not. */
  owners = 0;
  /** How many local handles follow it. */
  handles = 0;
  /** How many wait for the outcome. */
  waiters = 0;
  readonly readers = new Set<EventReader>();
  /** Retryable refusals in a row, for the wait before the next try. */
  refusals = 0;
  /** True while only its status is to be asked for, see `Sender`. */
  isPolled = false;
  /** Cancels to be sent. */
  cancels: CancelQuestion[] = [];
  /** Cancels that were answered too early to be believed. PROTOCOL 10.13. */
  keptCancels: CancelQuestion[] = [];
  /** Snapshots to be asked for. */
  snapshots: Question<Snapshot>[] = [];

  constructor(
    id: string,
    phase: Phase,
    of: { readonly number?: number; readonly text?: string; readonly identity?: string } = {},
  ) {
    this.id = id;
    this.phase = phase;
    this.number = of.number ?? 0;
    this.text = of.text ?? "";
    this.size = byteLength(this.text);
    this.identity = of.identity;
  }

  /** True when it is known whether the server has it. PROTOCOL 1.2. */
  get isSettled(): boolean {
    return this.phase === "stored" || this.phase === "ended";
  }

  /** True when there is a log to read. */
  get hasLog(): boolean {
    return this.phase === "stored" || this.outcome?.ending === "event";
  }

  /**
   * Returns the number after which the log is to be read on, or `undefined` if it is not to be read.
   *
   * That is the lowest position of an iterator that takes events. Without one, a `result()` that
   * waits, or a handle that nobody iterates, only needs the end. When there are iterators and all are
   * stalled, reading pauses.
   */
  get wanted(): number | undefined {
    let lowest: number | undefined;
    let isIterated = false;
    for (const reader of this.readers) {
      if (reader.isPassive || reader.isOver) continue;
      isIterated = true;
      if (reader.isHungry) lowest = Math.min(lowest ?? reader.position, reader.position);
    }
    if (lowest !== undefined || this.outcome !== undefined) return lowest;
    return this.waiters > 0 || (this.handles > 0 && !isIterated) ? this.last : undefined;
  }

  /** Takes progress if it is newer than the newest. PROTOCOL 10.36. */
  takeProgress(progress: Progress): void {
    if (isNewer(progress, this.progress)) {
      this.progress = progress;
      this.attempt = Math.max(this.attempt, progress.attempt);
    }
    for (const reader of this.readers) reader.offerProgress(progress);
    this.releaseProgress();
  }

  /** Lets out progress that waited in the readers for its attempt to begin there. */
  releaseProgress(): void {
    for (const reader of this.readers) reader.release(this.knownLast);
  }
}
