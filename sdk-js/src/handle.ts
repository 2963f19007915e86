// SPDX-License-Identifier: Apache-2.0
import type { Connection, Patience } from "./connection.js";
import { DetachedError, type LongcallError, WaitTimeoutError } from "./errors.js";
import type { Chunk, Progress, RequestEvent, Snapshot, Status } from "./events.js";
import type { EventReader } from "./protocol/reader.js";
import type { Outcome, TrackedRequest } from "./protocol/request.js";

/** What {@link Client.call} tells meanwhile. What a function throws is a warning, never more. */
export interface Callbacks<Data = unknown, Details = unknown> {
  readonly onStatus?: (event: Status) => unknown;
  readonly onProgress?: (event: Progress<Details>) => unknown;
  readonly onChunk?: (event: Chunk<Data>) => unknown;
}

type Listener = readonly [kind: string, own: (event: RequestEvent) => unknown];

interface Listening {
  readonly listeners: Set<Listener>;
  readonly controller: AbortController;
}

/**
 * A request, wherever it was submitted. Iterate it for its events; PROTOCOL 9.2.
 *
 * ```js
 * for await (const event of handle) {
 *   if (event.kind === "progress") console.log(event.percentage);
 *   if (event.kind === "chunk") rows.push(...event.data);
 * }
 * const result = await handle.result();
 * ```
 *
 * Each start of an iteration yields the log from event 1, whatever happens to the connection, and
 * ends at the terminal event only; how the request ended is told by {@link result}. When the handle
 * ends in another way (the request is gone, the client is closed), the iteration throws that.
 *
 * An application that takes events slowly costs bounded memory: an iterator that holds as much as it
 * may pauses, and goes on from its place on the server's log.
 */
export class RequestHandle<Result = unknown, Data = unknown, Details = unknown>
  implements AsyncIterable<RequestEvent<Data, Details>>
{
  readonly #connection: Connection;
  #state: TrackedRequest;
  #first: EventReader | undefined; // keeps the first events for the first iteration
  readonly #readers = new Set<EventReader>();
  #joining: Listening | undefined;
  #uses = 0;
  #isDetached = false;
  #isReleased = false; // left early by all who used it; comes back when it is used

  /** @internal */
  constructor(connection: Connection, state: TrackedRequest) {
    this.#connection = connection;
    this.#state = state;
    state.owners += 1;
    this.#first = connection.protocol.openPassiveReader(state);
  }

  /** The id of the request; `client.attach(id)` comes back to it from anywhere. */
  get id(): string {
    return this.#state.id;
  }

  /** True when {@link result} returns or throws at once. */
  get isFinished(): boolean {
    return this.#state.outcome !== undefined;
  }

  /**
   * Waits for the end, and gives the result.
   *
   * @throws RequestError: the request failed, was cancelled or timed out on the server.
   * @throws WaitTimeoutError: the patience ended; the request goes on.
   * @throws ConnectionClosedError: the client is closed for good.
   * @throws DetachedError: this handle was detached.
   */
  async result(patience: Patience = {}): Promise<Result> {
    const state = this.#enter();
    let outcome: Outcome | "detached" | undefined;
    state.waiters += 1;
    this.#touch(state);
    try {
      outcome = await this.#connection.wait<Outcome | "detached">(
        state.changed,
        () => state.outcome ?? (this.#isDetached ? "detached" : undefined),
        patience,
        () => this.timeout(state),
      );
    } finally {
      state.waiters -= 1;
      this.#leave(state, outcome === undefined);
    }
    if (outcome === "detached") throw new DetachedError(this.id);
    if (outcome.error !== undefined) throw outcome.error;
    return outcome.result as Result;
  }

  /** Begins an iteration, from event 1. */
  [Symbol.asyncIterator](): AsyncGenerator<RequestEvent<Data, Details>, void, undefined> {
    return this.events();
  }

  /**
   * Begins an iteration as `for await` over the handle itself does, or behind an event that is known:
   * a page that keeps what it has seen, and the `seq` of it, goes on from there after a reload.
   *
   * @param options - `afterSeq`: the `seq` of the last event that is not to come again, by default
   * 0; `signal`: ends the iteration, which throws its `reason`.
   */
  async *events({
    afterSeq = 0,
    signal,
  }: {
    readonly afterSeq?: number;
    readonly signal?: AbortSignal;
  } = {}): AsyncGenerator<RequestEvent<Data, Details>, void, undefined> {
    const { protocol } = this.#connection;
    const state = this.#enter();
    const first = afterSeq === 0 ? this.#first : undefined;
    if (first) this.#first = undefined;
    const reader = this.#connection.step((now) => protocol.openReader(state, first, now, afterSeq));
    this.#readers.add(reader);
    let isLeft = true;
    try {
      for (;;) {
        if (this.#isDetached) throw new DetachedError(this.id);
        const wasHungry = reader.isHungry;
        const event = reader.pop();
        if (reader.isHungry !== wasHungry) this.#touch(state); // it goes on after its place
        if (event !== undefined) {
          yield event as RequestEvent<Data, Details>;
        } else if (reader.isOver) {
          isLeft = false;
          if (reader.error) throw reader.error;
          return;
        } else {
          await this.#connection.wait(reader.changed, () => reader.hasNews || undefined, {
            signal,
          });
        }
      }
    } finally {
      this.#readers.delete(reader);
      state.readers.delete(reader);
      this.#leave(state, isLeft);
    }
  }

  /**
   * Calls `listener` for each event of a kind, from event 1 on, until the request ends or what is
   * returned is called. What it throws is a warning; how the request ended is told by {@link result}.
   *
   * @throws DetachedError: this handle was detached.
   */
  on<Kind extends RequestEvent["kind"]>(
    kind: Kind,
    listener: (event: Extract<RequestEvent<Data, Details>, { readonly kind: Kind }>) => unknown,
  ): () => void {
    this.#found();
    this.#joining ??= this.#listen();
    const { listeners, controller } = this.#joining;
    const own: Listener = [kind, listener as Listener[1]];
    listeners.add(own);
    return () => {
      listeners.delete(own);
      if (listeners.size === 0) controller.abort();
    };
  }

  /**
   * Collects the pieces of the result that stand at the end: what an attempt had sent and the next
   * one sends again is dropped. PROTOCOL 10.19.
   *
   * @throws what {@link result} throws.
   */
  async chunks(): Promise<Data[]> {
    let chunks: Chunk<Data>[] = [];
    for await (const event of this) {
      if (event.kind === "chunk") chunks.push(event);
      else if (event.kind === "status" && event.status === "processing") {
        chunks = chunks.filter(({ seq }) => seq <= event.chunksKeptTo);
      }
    }
    await this.result();
    return chunks.map(({ data }) => data);
  }

  /**
   * Asks how the request stands; the server reads it after this call.
   *
   * @throws NotFoundError: it is gone, or was never stored because it was answered at once.
   * @throws WaitTimeoutError, ConnectionClosedError, DetachedError.
   */
  async snapshot(patience: Patience = {}): Promise<Snapshot<Result, Details>> {
    const state = this.#found();
    const snapshot = await this.#connection.ask<Snapshot>((question) => {
      this.#connection.step((now) => this.#connection.protocol.snapshot(state, question, now));
      return undefined;
    }, patience);
    return snapshot as Snapshot<Result, Details>;
  }

  /**
   * Asks the server to end the request, and returns when it has taken that.
   *
   * The end itself comes as every end does: {@link result} throws `RequestCancelledError`, or gives
   * the result that was there before. To cancel what has ended does nothing.
   *
   * @param reason - why, in at most 512 characters; the first one is kept.
   * @throws NotFoundError: there is no such request.
   * @throws WaitTimeoutError: the patience ended; the cancel is still sent.
   * @throws ConnectionClosedError, DetachedError.
   */
  async cancel(reason?: string, patience: Patience = {}): Promise<void> {
    const state = this.#found();
    await this.#connection.ask<void>((question) => {
      this.#connection.step((now) =>
        this.#connection.protocol.cancel(state, reason, question, now),
      );
      return undefined;
    }, patience);
  }

  /** Ends this handle, here only: the request goes on. What still uses it throws `DetachedError`. */
  detach(): void {
    if (this.#isDetached) return;
    this.#isDetached = true;
    const state = this.#state;
    state.owners -= 1;
    if (!this.#isReleased) state.handles -= 1;
    if (this.#first) state.readers.delete(this.#first);
    this.#first = undefined;
    for (const reader of this.#readers) reader.fail(new DetachedError(this.id));
    state.changed.fire();
    this.#touch(state);
  }

  /**
   * Downloads a file that the handler attached, over HTTP, and checks it while it is read.
   *
   * @param name - the file's name, as the handler gave it.
   * @returns the response, whose body is to be read: `blob()`, `text()`, or the stream `body`. Where
   * the bytes are not those that the server announced, reading ends with a {@link DownloadError}.
   * @throws NotFoundError: there is no such file (any more).
   * @throws RequestError: the server refused.
   * @throws DownloadError: it was answered by something else, or without a digest to check it by.
   */
  async download(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<Response> {
    const { download } = await import("./download.js"); // most pages download nothing
    return download(this.#connection, this.id, name, options.signal);
  }

  /** Waits until the server is known to have it; throws its refusal. @internal */
  async settled(patience: Patience): Promise<void> {
    const state = this.#state;
    await this.#connection.wait(
      state.changed,
      () => state.isSettled || undefined,
      patience,
      () => this.timeout(state),
    );
    if (state.outcome?.ending === "loss" && state.outcome.error) throw state.outcome.error;
  }

  /** Calls the application for each event until the end. @internal */
  async watch(callbacks: Callbacks<Data, Details>): Promise<void> {
    for await (const event of this) {
      await this.#connection.guard(`a callback of request ${this.id}`, () => {
        if (event.kind === "progress") return callbacks.onProgress?.(event);
        if (event.kind === "chunk") return callbacks.onChunk?.(event);
        return callbacks.onStatus?.(event);
      });
    }
  }

  /** Begins one iteration for all listeners that are added in this turn. */
  #listen(): Listening {
    const [listeners, controller] = [new Set<Listener>(), new AbortController()];
    const { signal } = controller;
    const tell = async () => {
      await undefined;
      this.#joining = undefined; // who comes later begins at event 1 too, by an iteration of its own
      for await (const event of this.events({ signal })) {
        const told = [...listeners].filter(([kind]) => kind === event.kind);
        const what = `a listener of request ${this.id}`;
        const calls = told.map(([, own]) => this.#connection.guard(what, () => own(event)));
        await Promise.all(calls);
        if (signal.aborted) return;
      }
    };
    tell().catch(() => {}); // `result` throws the same
    return { listeners, controller };
  }

  /** Begins a use that needs the log or the end. */
  #enter(): TrackedRequest {
    const state = this.#found();
    this.#uses += 1;
    if (this.#isReleased) {
      this.#isReleased = false;
      state.handles += 1;
    }
    return state;
  }

  /** Ends a use; the last one that leaves early lets go of the log. */
  #leave(state: TrackedRequest, isLeft: boolean): void {
    this.#uses -= 1;
    if (isLeft && this.#uses === 0 && !this.#isDetached && state.outcome === undefined) {
      this.#isReleased = true;
      state.handles -= 1;
    }
    this.#touch(state);
  }

  /** Returns the state of the request, which may be another object after it was forgotten. */
  #found(): TrackedRequest {
    if (this.#isDetached) throw new DetachedError(this.id);
    const state = this.#connection.protocol.revive(this.#state);
    if (state !== this.#state) {
      if (this.#first) this.#state.readers.delete(this.#first);
      this.#first = undefined;
      if (!this.#isReleased) state.handles += 1;
      this.#state = state;
    }
    return state;
  }

  #touch(state: TrackedRequest): void {
    this.#connection.step((now) => this.#connection.protocol.touch(state, now));
  }

  /** Returns the error for a caller whose patience ended. @internal */
  timeout(state = this.#state): LongcallError {
    const { id: requestId, sends, hasLog: acknowledged } = state;
    return new WaitTimeoutError({ requestId, sent: sends > 0 || acknowledged, acknowledged });
  }
}
