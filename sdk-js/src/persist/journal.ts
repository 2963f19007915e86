// SPDX-License-Identifier: Apache-2.0
import type { Connection } from "../connection.js";
import { ConfigurationError, ConnectionClosedError, UnauthorizedError } from "../errors.js";
import type { RequestMessage } from "../generated/messages.js";
import { RequestHandle } from "../handle.js";
import type { Settings } from "../options.js";
import type { Persistence } from "../persistence.js";
import { Protocol } from "../protocol/protocol.js";
import type { EventReader } from "../protocol/reader.js";
import type { TrackedRequest } from "../protocol/request.js";
import type { Question } from "../protocol/signals.js";
import { type PersistStore, type StoredRequest, sessionStore, storedRequest } from "./store.js";

/** How often the place of an iteration is saved while events come fast, in milliseconds. */
const SAVE_PLACE_MS = 250;

const DAY_MS = 86_400_000;

/** What is remembered, and where. */
export interface PersistOptions {
  /** Default: `sessionStore()`. */
  readonly store?: PersistStore;
  /**
   * Who uses the page, by the application's own name for them; requests of others are left alone.
   *
   * The server's word is heeded in any case. Without this, a request that was made offline before
   * the page was ever connected is not picked up: nobody can say whose it is.
   */
  readonly owner?: string;
  /** Unfinished requests that are remembered at most; of the others a warning tells. Default 200. */
  readonly maxRequests?: number;
  /** Length of the requests that wait for the server's acknowledgment. Default 1 MiB. */
  readonly maxBytes?: number;
  /** How long after its submission a request is picked up at most. Default: 7 days. PROTOCOL 10.31. */
  readonly maxAgeMs?: number;
}

/** A request of an earlier page. */
export interface RestoredRequest {
  readonly id: string;
  readonly action: string;
  /** As it was submitted. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly submittedAt: Date;
  /**
   * The number of the last event that the earlier page has taken, 0 for none. `handle.events({ afterSeq: seq })`
   * goes on there; `for await (… of handle)` begins at event 1.
   */
  readonly seq: number;
  /** It follows the request to its end, or until it is detached. */
  readonly handle: RequestHandle;
}

/** Remembers the requests of one client. */
export interface PersistedRequests extends Persistence {
  /**
   * Returns the unfinished requests of earlier pages, in the order of their submission, once the
   * server has said who this client is. What it had not acknowledged is sent again, under the same
   * id, whether this is called or not.
   *
   * @throws ConnectionClosedError: the client was closed before.
   */
  restored(): Promise<readonly RestoredRequest[]>;
}

/**
 * Remembers requests until they have ended, so that a reload picks them up again.
 *
 * ```js
 * const persist = persistence();
 * const client = connect(url, { token, persist });
 * for (const { action, handle } of await persist.restored()) show(action, handle);
 * ```
 *
 * A request is forgotten when it has ended or its last handle is detached. Where nothing can be
 * stored (private windows, a full disk) a warning tells, and the client works as without.
 */
export function persistence(options: PersistOptions = {}): PersistedRequests {
  return new Journal(options);
}

/** A request that is remembered now. */
interface Kept {
  entry: StoredRequest;
  /** True while what is stored is older than `entry`. */
  isStale: boolean;
  readonly forget: () => void;
}

class Journal implements PersistedRequests {
  readonly #options: Required<Omit<PersistOptions, "owner">>;
  readonly #owner: string | undefined;
  readonly #kept = new Map<TrackedRequest, Kept>();
  readonly #restored: Promise<readonly RestoredRequest[]>;
  #settle: Question<readonly RestoredRequest[]> | undefined;
  #connection: Connection | undefined;
  #protocol: JournalledProtocol | undefined;
  #loaded: Promise<unknown[]> | undefined;
  #hasRestored = false;
  #scope = "";
  #savedAt = 0;
  #newestAt = 0;
  readonly #own = new Set<string>(); // ids of this page, until those of earlier ones are there
  readonly #warned = new Set<string>();
  readonly #page = new AbortController();

  constructor({ owner, ...options }: PersistOptions) {
    const { maxRequests = 200, maxBytes = 1024 * 1024, maxAgeMs = 7 * DAY_MS } = options;
    this.#options = { store: options.store ?? sessionStore(), maxRequests, maxBytes, maxAgeMs };
    this.#owner = owner;
    this.#restored = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#restored.catch(() => {}); // nobody may have asked
  }

  restored(): Promise<readonly RestoredRequest[]> {
    return this.#restored;
  }

  protocolOf(connection: Connection, settings: Settings): Protocol {
    if (this.#connection !== undefined) {
      throw new ConfigurationError("each client needs a persistence of its own");
    }
    this.#connection = connection;
    this.#protocol = new JournalledProtocol(settings, this);
    this.#scope = JSON.stringify([connection.url.replace(/\?.*/, ""), this.#owner ?? null]);
    // Later: the connection is being made, and can tell nobody of what is wrong.
    this.#loaded = Promise.resolve()
      .then(() => this.#attempt(() => this.#options.store.load()))
      .then((all) => all ?? []);
    connection.stateListeners.add(({ state }) => {
      if (state === "ready") void this.#welcomed();
      else if (state === "closed") this.#closed();
    });
    const page = globalThis as Partial<Pick<EventTarget, "addEventListener">>;
    page.addEventListener?.("pagehide", () => this.#saveAll(), { signal: this.#page.signal });
    return this.#protocol;
  }

  /** A request was submitted. */
  submitted(state: TrackedRequest, request: RequestMessage): void {
    if (this.#kept.has(state) || state.outcome !== undefined) return;
    const { maxRequests, maxBytes } = this.#options;
    const waiting = [...this.#kept.keys()].reduce((sum, { text }) => sum + text.length, 0);
    if (this.#kept.size >= maxRequests || waiting + state.text.length > maxBytes) {
      this.#warn("full", "a request is not remembered: too many or too large ones are already");
      return;
    }
    const { id, action, metadata } = request;
    if (this.#loaded !== undefined) this.#own.add(id);
    this.#newestAt = Math.max(Date.now(), this.#newestAt + 1); // it says the order, too
    this.#keep(state, {
      version: 1,
      id,
      action,
      scope: this.#scope,
      principal: this.#protocol?.principal ?? null,
      submittedAt: this.#newestAt,
      seq: 0,
      ...(metadata !== undefined && { metadata }),
      request,
    });
  }

  /** The last handle of a request was detached. */
  detached(state: TrackedRequest): void {
    this.#kept.get(state)?.forget();
  }

  /** The application has taken event `seq`, and asks for the next. */
  taken(state: TrackedRequest, seq: number): void {
    const kept = this.#kept.get(state);
    if (kept === undefined || seq <= kept.entry.seq) return;
    kept.entry = { ...kept.entry, seq };
    kept.isStale = true;
    const now = Date.now();
    if (Math.abs(now - this.#savedAt) < SAVE_PLACE_MS) return;
    this.#savedAt = now;
    this.#saveAll();
  }

  #keep(state: TrackedRequest, entry: StoredRequest): void {
    const unsubscribe = state.changed.subscribe(() => this.#changed(state));
    const forget = () => {
      unsubscribe();
      this.#kept.delete(state);
      this.#remove(kept.entry);
    };
    const kept: Kept = { entry, isStale: true, forget };
    this.#kept.set(state, kept);
    this.#save(kept);
  }

  /** A request is settled, or has ended. */
  #changed(state: TrackedRequest): void {
    const kept = this.#kept.get(state);
    if (kept === undefined) return;
    if (state.outcome !== undefined) {
      if (!isOurs(state.outcome.error)) kept.forget();
    } else if (state.phase === "stored" && kept.entry.request !== undefined) {
      const { request: _, ...entry } = kept.entry;
      kept.entry = entry;
      this.#save(kept);
    }
  }

  /** The server has said who this client is. */
  async #welcomed(): Promise<void> {
    const principal = this.#protocol?.principal ?? null;
    for (const kept of this.#kept.values()) {
      if (kept.entry.principal === principal) continue;
      this.#remove(kept.entry);
      kept.entry = { ...kept.entry, principal };
      this.#save(kept);
    }
    if (this.#hasRestored) return;
    this.#hasRestored = true;
    const loaded = (await this.#loaded) ?? [];
    this.#loaded = undefined;
    const mine = loaded
      .map(storedRequest)
      .filter((entry) => entry !== undefined)
      .filter((entry) => !this.#own.has(entry.id) && this.#isMine(entry, principal))
      .sort((a, b) => a.submittedAt - b.submittedAt || (a.id < b.id ? -1 : 1));
    this.#own.clear();
    this.#settle?.resolve(mine.flatMap((entry) => this.#restore({ ...entry, principal }, entry)));
  }

  #isMine({ scope, principal, submittedAt, ...entry }: StoredRequest, now: string | null): boolean {
    if (scope !== this.#scope) return false;
    if (principal !== now && (principal !== null || this.#owner === undefined)) return false;
    if (Math.abs(Date.now() - submittedAt) <= this.#options.maxAgeMs) return true;
    this.#remove({ ...entry, scope, principal, submittedAt });
    return false;
  }

  #restore(entry: StoredRequest, old: StoredRequest): RestoredRequest[] {
    const [connection, protocol] = [this.#connection, this.#protocol];
    if (connection === undefined || protocol === undefined) return [];
    if (old.principal !== entry.principal) this.#remove(old);
    const { id, action, metadata = {}, seq, request } = entry;
    try {
      const state = connection.step((now) =>
        request === undefined ? protocol.attach(id, now) : protocol.resubmit(request, now),
      );
      const handle = new RequestHandle(connection, state);
      if (!this.#kept.has(state)) this.#keep(state, entry);
      return [{ id, action, metadata, submittedAt: new Date(entry.submittedAt), seq, handle }];
    } catch (error) {
      this.#remove(entry);
      connection.warn(`request ${id} of an earlier page cannot be picked up`, error);
      return [];
    }
  }

  #closed(): void {
    this.#page.abort();
    this.#saveAll();
    this.#settle?.reject(new ConnectionClosedError(undefined, "the client was closed"));
  }

  #saveAll(): void {
    for (const kept of this.#kept.values()) if (kept.isStale) this.#save(kept);
  }

  #save(kept: Kept): void {
    kept.isStale = false;
    const { entry } = kept;
    void this.#attempt(() => this.#options.store.save(keyOf(entry), entry));
  }

  #remove(entry: StoredRequest): void {
    void this.#attempt(() => this.#options.store.remove(keyOf(entry)));
  }

  async #attempt<T>(action: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      this.#warn("store", "requests cannot be remembered: a reload will not find them", error);
      return undefined;
    }
  }

  #warn(what: string, text: string, error?: unknown): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#connection?.warn(text, error);
  }
}

/** The protocol, and what it does to requests is written down. */
class JournalledProtocol extends Protocol {
  readonly #journal: Journal;

  constructor(settings: Settings, journal: Journal) {
    super(settings);
    this.#journal = journal;
  }

  override submit(message: RequestMessage, hasOwnId: boolean, now: number): TrackedRequest {
    const state = super.submit(message, hasOwnId, now);
    this.#journal.submitted(state, message);
    return state;
  }

  /** Submits what an earlier page may have sent. PROTOCOL 10.4, 10.6. */
  resubmit(message: RequestMessage, now: number): TrackedRequest {
    const state = super.submit({ ...message, resend: true }, true, now);
    state.sends += 1;
    return state;
  }

  override touch(state: TrackedRequest, now: number): void {
    super.touch(state, now);
    if (state.owners === 0 && state.outcome === undefined) this.#journal.detached(state);
  }

  override openReader(
    state: TrackedRequest,
    first: EventReader | undefined,
    now: number,
    after?: number,
  ): EventReader {
    const reader = super.openReader(state, first, now, after);
    let taken = 0;
    const pop = reader.pop.bind(reader);
    reader.pop = () => {
      if (taken > 0) this.#journal.taken(state, taken); // it comes for the next one
      const event = pop();
      if (event !== undefined && event.kind !== "progress") taken = event.seq;
      return event;
    };
    return reader;
  }
}

/** True where the request goes on, and only this client has ended. */
function isOurs(error: unknown): boolean {
  return (
    error instanceof ConnectionClosedError ||
    (error instanceof UnauthorizedError && error.origin === "client")
  );
}

function keyOf({ scope, principal, id }: StoredRequest): string {
  return JSON.stringify([scope, principal, id]);
}
