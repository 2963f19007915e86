// SPDX-License-Identifier: Apache-2.0
import type { Snapshot } from "../events.js";
import type { Limits, ListingMessage } from "../generated/messages.js";
import type { Heartbeat } from "./heartbeat.js";
import type { TokenBucket } from "./limits.js";
import type { CancelQuestion, TrackedRequest } from "./request.js";
import type { Question } from "./signals.js";

/**
 * How far a connection has come. `draining`: the server said `goaway`, answers and events still come;
 * `closing`: closed from here, and the front end has not yet said that it is.
 */
export type LinkPhase = "token" | "opening" | "greeting" | "ready" | "draining" | "closing";

/** The place of a connection in one log. PROTOCOL 10.25. */
export interface Cursor {
  position: number;
  /** Attaches because of a gap since it last advanced. */
  gaps: number;
  /** A gap was seen: the log is to be read again. */
  isBroken: boolean;
}

/** A page of a list that is asked for. */
export interface ListQuestion extends Question<ListingMessage> {
  readonly id: string;
  readonly text: string;
}

/** An `attach` that awaits its snapshot, and who asked for that. */
export interface AttachQuestion {
  readonly state: TrackedRequest;
  readonly askers: readonly Question<Snapshot>[];
}

/** What a welcome tells. */
export interface Terms {
  readonly limits: Limits;
  readonly bucket: TokenBucket;
  readonly heartbeat: Heartbeat;
}

/** One connection: what was sent on it and is not answered, and its place in each log. */
export class Link {
  phase: LinkPhase = "token";
  token: string | undefined;
  /** Known from `welcome` on. */
  terms: Terms | undefined;
  /** When the token in force ends, by this side's clock. */
  expiresAt = Number.POSITIVE_INFINITY;
  /** The close that this side began. */
  closedWith: { readonly code: number; readonly reason: string } | undefined;

  // What awaits an answer here, in the order of sending.
  readonly unanswered = new Map<string, TrackedRequest>();
  readonly attaches = new Map<string, AttachQuestion[]>();
  readonly cancels = new Map<string, CancelQuestion[]>();
  readonly lists = new Map<string, ListQuestion>();

  readonly cursors = new Map<string, Cursor>();
  /** What a close with 1009 is about. PROTOCOL 10.43. */
  lastSent: TrackedRequest | ListQuestion | CancelQuestion | undefined;

  constructor(readonly id: number) {}

  /** True when nothing is unanswered here. */
  get isQuiet(): boolean {
    return this.unanswered.size + this.attaches.size + this.cancels.size + this.lists.size === 0;
  }
}

/** Puts a question behind those of the same id. */
export function enqueue<T>(waiting: Map<string, T[]>, id: string, item: T): void {
  const queue = waiting.get(id);
  if (queue) queue.push(item);
  else waiting.set(id, [item]);
}

/** Takes the oldest question of an id: answers come in the order of asking. PROTOCOL 4.5.1. */
export function dequeue<T>(waiting: Map<string, T[]>, id: string): T | undefined {
  const queue = waiting.get(id);
  const item = queue?.shift();
  if (queue?.length === 0) waiting.delete(id);
  return item;
}
