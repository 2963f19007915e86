// SPDX-License-Identifier: Apache-2.0
// A request as a store of states that never change, for whatever draws them. Nothing here is React's.
import type { Progress, RequestEvent } from "../events.js";
import type { RequestStatus } from "../generated/codes.js";
import type { RequestHandle } from "../handle.js";

/** How a request stands; another object after each change. */
export interface RequestState<Result = unknown, Data = unknown, Details = unknown> {
  /** `undefined` until the first event has come, and for a quick request. */
  readonly status: RequestStatus | undefined;
  /** The newest attempt; 0 before the first. */
  readonly attempt: number;
  readonly progress: Progress<Details> | undefined;
  /** The pieces of the result that stand. */
  readonly chunks: readonly Data[];
  /** There when it has ended well. */
  readonly result: Result | undefined;
  /** There when it has not: refused, failed, cancelled, gone. */
  readonly error: Error | undefined;
  readonly isFinished: boolean;
}

/** What `useSyncExternalStore` takes, and what others can subscribe to. */
export interface RequestStore<Result = unknown, Data = unknown, Details = unknown> {
  /**
   * Calls `listener` after each change, until what is returned is called. The request is read as
   * long as somebody listens.
   */
  subscribe(listener: () => void): () => void;
  /** The state now; the same object until it changes. */
  getSnapshot(): RequestState<Result, Data, Details>;
  /** The state where nothing is read: on a server. */
  getServerSnapshot(): RequestState<Result, Data, Details>;
}

/** The state of what is not known yet. */
export const UNKNOWN: RequestState<never, never, never> = {
  status: undefined,
  attempt: 0,
  progress: undefined,
  chunks: [],
  result: undefined,
  error: undefined,
  isFinished: false,
};

const stores = new WeakMap<RequestHandle, RequestStore>();

/** Returns the store of a handle: the same for all who ask. */
export function requestStore<Result, Data, Details>(
  handle: RequestHandle<Result, Data, Details>,
): RequestStore<Result, Data, Details> {
  const key = handle as RequestHandle;
  const known = stores.get(key) ?? storeOf(() => key);
  stores.set(key, known);
  return known as RequestStore<Result, Data, Details>;
}

/** Listeners, who are told; and a use, which begins with the first and ends behind the last. */
export class Listeners {
  readonly #listeners = new Set<() => void>();
  readonly #begin: () => void;
  readonly #end: () => void;
  #isUsed = false;

  constructor(begin: () => void, end: () => void) {
    this.#begin = begin;
    this.#end = end;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    const own = () => listener(); // the same function may be added twice
    this.#listeners.add(own);
    if (!this.#isUsed) {
      this.#isUsed = true;
      this.#begin();
    }
    return () => {
      this.#listeners.delete(own);
      // Later: who comes back at once, as in React's StrictMode, finds it as it was.
      void Promise.resolve().then(() => {
        if (this.#listeners.size > 0 || !this.#isUsed) return;
        this.#isUsed = false;
        this.#end();
      });
    };
  };

  tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/**
 * Makes a store.
 *
 * @param open - gives the handle each time that reading begins.
 * @param close - is given it when reading ends.
 */
export function storeOf(
  open: () => RequestHandle,
  close: (handle: RequestHandle) => void = () => {},
): RequestStore {
  const reading = new Reading(() => listeners.tell());
  let handle: RequestHandle | undefined;
  const listeners = new Listeners(
    () => {
      try {
        handle = open();
        reading.begin(handle);
      } catch (error) {
        reading.fail(error);
      }
    },
    () => {
      reading.end();
      if (handle) close(handle);
      handle = undefined;
    },
  );
  return {
    subscribe: listeners.subscribe,
    getSnapshot: () => reading.state,
    getServerSnapshot: () => UNKNOWN,
  };
}

/** Reads a request into states. */
class Reading {
  state: RequestState = UNKNOWN;
  readonly #tell: () => void;
  #chunks: { readonly seq: number; readonly data: unknown }[] = [];
  #next: Partial<RequestState> = {};
  #hasNewChunks = false;
  #planned: ReturnType<typeof setTimeout> | undefined;
  #position = 0;
  #stop = new AbortController();

  constructor(tell: () => void) {
    this.#tell = tell;
  }

  begin(handle: RequestHandle): void {
    if (this.state.isFinished) return;
    this.#stop = new AbortController();
    void this.#read(handle, this.#stop.signal);
  }

  end(): void {
    this.#stop.abort();
    this.#flush();
  }

  fail(error: unknown): void {
    this.#set({ error: error as Error, isFinished: true });
    this.#flush();
  }

  async #read(handle: RequestHandle, signal: AbortSignal): Promise<void> {
    try {
      for await (const event of handle.events({ afterSeq: this.#position, signal })) {
        if (signal.aborted) return;
        this.#take(event);
      }
      const result = await handle.result({ signal });
      if (signal.aborted) return;
      this.#set({ result, isFinished: true });
      this.#flush();
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    }
  }

  #take(event: RequestEvent): void {
    if (event.kind === "progress") {
      this.#set({ progress: event });
      return;
    }
    this.#position = event.seq;
    if (event.kind === "chunk") {
      this.#chunks.push(event);
      this.#hasNewChunks = true;
      this.#set({});
      return;
    }
    const { status, attempt, chunksKeptTo } = event;
    if (status === "processing") {
      this.#chunks = this.#chunks.filter(({ seq }) => seq <= chunksKeptTo); // PROTOCOL 10.19
      this.#hasNewChunks = true;
    }
    this.#set({ status, attempt: attempt || this.state.attempt });
  }

  /** Many events may come at once: all of them are one change. */
  #set(change: Partial<RequestState>): void {
    this.#next = { ...this.#next, ...change };
    this.#planned ??= setTimeout(() => this.#flush(), 0);
  }

  #flush(): void {
    if (this.#planned === undefined) return;
    clearTimeout(this.#planned);
    this.#planned = undefined;
    const chunks = this.#hasNewChunks ? this.#chunks.map(({ data }) => data) : this.state.chunks;
    this.state = { ...this.state, ...this.#next, chunks };
    this.#next = {};
    this.#hasNewChunks = false;
    this.#tell();
  }
}
