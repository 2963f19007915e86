// SPDX-License-Identifier: Apache-2.0

import { CLOSE_CODES, type KnownErrorCode } from "../generated/codes.js";
import type * as wire from "../generated/messages.js";
import {
  type ActionTypes,
  type Client,
  type ClientOptions,
  connect,
  type Untyped,
} from "../index.js";
import type { WebSocketConstructor } from "../transport.js";
import { TestClock } from "./clock.js";
import { checked, errorFrom, type Failure, LIMITS, timestamp } from "./messages.js";
import { InMemoryRequest, type LogEvent } from "./request.js";
import { Session } from "./session.js";
import { type PipeEvents, socketClass } from "./socket.js";

/** How long a quick script may take before its request is stored after all. PROTOCOL 5.1. */
const SYNC_WINDOW_MS = 2_000;

/**
 * What a server does with the requests of an action: reports progress and chunks, and returns the
 * result. What it throws ends the request: a `RequestError` with its code, anything else with
 * `INTERNAL_ERROR`. It may wait: for a promise of the test, or for `server.clock`.
 */
// biome-ignore lint/suspicious/noExplicitAny: as a parameter it takes whatever the test expects
export type Script<Payload = any> = (request: InMemoryRequest<Payload>) => unknown;

/** Turns requests of an action down, before they are stored. */
export interface Refusal extends Failure {
  readonly code: KnownErrorCode;
  readonly message: string;
}

/** How the requests of an action are run. */
export interface ScriptOptions {
  /**
   * False: a quick action, answered at once and not stored, unless it takes more than 2 s, sends a
   * chunk or is cancelled. Default: true.
   */
  readonly durable?: boolean;
}

/** Who a token stands for. */
export interface Identity {
  /** What `welcome` calls it; requests belong to it. */
  readonly principal: string;
  /** How long the token is accepted from now on. */
  readonly lifeMs: number;
}

/** How a server behaves. */
export interface InMemoryServerOptions {
  /** Default: a clock of its own, which stands still until the test advances it. */
  readonly clock?: TestClock;
  /**
   * Says whose a token is, or the close code with which it is refused.
   * Default: every token, and none, is `"principal"`'s, for an hour.
   */
  readonly authenticate?: (token: string | undefined, url: string) => Partial<Identity> | number;
  /** What `welcome` announces. Default: what a real server does. */
  readonly limits?: Partial<wire.Limits>;
  /** Who pings. Default: the server, every 25 s of its clock. */
  readonly heartbeat?: Partial<wire.Heartbeat>;
}

/**
 * A server in memory, for the tests of an application. The client is the real one: only its sockets
 * and its clock are not. It speaks the protocol, stores requests, numbers events, sends again what
 * was missed; what it gets and sends is checked by the schema.
 *
 * ```js
 * const server = new InMemoryServer();
 * server.on("report", (request) => {
 *   request.progress({ percentage: 50 });
 *   return { rows: 2 };
 * });
 * const client = server.connect();
 * await client.call("report"); // { rows: 2 }
 * server.drop();
 * await server.clock.advance(500); // the client is back
 * server.stop();
 * ```
 */
export class InMemoryServer {
  /** An address; `url` and `clientOptions` are what an application needs to connect. */
  readonly url = "ws://in-memory.invalid/v1/connect";
  /** The clock of the server and its clients. */
  readonly clock: TestClock;
  /** The class of sockets that lead here. */
  readonly WebSocket: WebSocketConstructor;
  readonly limits: wire.Limits;
  readonly heartbeat: wire.Heartbeat;
  /** All valid messages of clients, in the order of their arrival. */
  readonly received: wire.ClientMessage[] = [];
  /** All requests, the oldest first; quick ones that were answered are not kept. */
  readonly requests: InMemoryRequest[] = [];
  /** How many sockets were opened, those that were refused included. */
  connectionsOpened = 0;

  readonly #authenticate: NonNullable<InMemoryServerOptions["authenticate"]>;
  readonly #actions = new Map<string, { script: Script | Refusal | undefined; durable: boolean }>();
  readonly #sessions = new Set<Session>();
  #untaken: InMemoryRequest[] = [];
  readonly #takers: { action: string | undefined; take: (request: InMemoryRequest) => void }[] = [];
  #refusal: { readonly code: number | undefined } | undefined;
  #isStalled = false;
  #welcomes = 0;

  constructor(options: InMemoryServerOptions = {}) {
    this.clock = options.clock ?? new TestClock();
    this.limits = { ...LIMITS, ...options.limits };
    this.heartbeat = { interval_ms: 25_000, from: "server", ...options.heartbeat };
    this.#authenticate = options.authenticate ?? (() => ({}));
    this.WebSocket = socketClass((pipe): PipeEvents | undefined => {
      this.connectionsOpened += 1;
      if (this.#refusal && this.#refusal.code === undefined) return undefined;
      const session = new Session(this, pipe);
      this.#sessions.add(session);
      return session;
    });
  }

  /** What a client of this server is given: sockets, clock, and waits that are the longest. */
  get clientOptions(): ClientOptions {
    return { webSocket: this.WebSocket, clock: this.clock, random: () => 1, token: () => "token" };
  }

  /** Returns a client of this server. */
  connect<Actions extends Record<keyof Actions, ActionTypes> = Untyped>(
    options: ClientOptions = {},
  ): Client<Actions> {
    return connect<Actions>(this.url, { ...this.clientOptions, ...options });
  }

  /**
   * Says what becomes of the requests of an action; of those without, `UNKNOWN_ACTION`.
   *
   * @param script - what runs; or {@link refusal}; or nothing: they are stored and wait for the test,
   * which takes them by {@link next}.
   */
  on(action: string, script?: Script | Refusal, options: ScriptOptions = {}): this {
    this.#actions.set(action, { script, durable: options.durable ?? true });
    return this;
  }

  /** Returns the next new request, of this action or of any; waits for it. */
  next<Payload = unknown>(action?: string): Promise<InMemoryRequest<Payload>> {
    const index = this.#untaken.findIndex((one) => action === undefined || one.action === action);
    const [request] = index < 0 ? [] : this.#untaken.splice(index, 1);
    return new Promise((resolve) => {
      const take = (taken: InMemoryRequest) => resolve(taken as InMemoryRequest<Payload>);
      if (request) take(request);
      else this.#takers.push({ action, take });
    });
  }

  /** Returns a request; throws where there is none. */
  request(id: string): InMemoryRequest {
    const request = this.requests.find((one) => one.id === id);
    if (request === undefined) throw new Error(`there is no request ${id}`);
    return request;
  }

  /** How many connections are open and welcomed. */
  get connections(): number {
    return [...this.#sessions].filter((session) => session.identity).length;
  }

  /** How many logs are followed, over all connections: of this request, or of all. */
  streams(id?: string): number {
    const followed = [...this.#sessions].flatMap((session) => session.followed);
    return followed.filter((one) => id === undefined || one === id).length;
  }

  /** Loses all connections without a word, or closes them with a code. */
  drop(code?: number, reason?: string): void {
    for (const session of [...this.#sessions]) session.close(code, reason);
  }

  /**
   * From now on no connection can be made: nobody listens or, with a close code, each is refused
   * with that. Those that are open stay.
   */
  refuse(code?: number): void {
    this.#refusal = { code };
  }

  /** Ends {@link refuse}. */
  accept(): void {
    this.#refusal = undefined;
  }

  /** Asks all clients to move to a new connection. */
  goaway(reason = "drain", reconnectAfterMs = 0): void {
    for (const session of this.#welcomed()) {
      session.send({ type: "goaway", reason, reconnect_after_ms: reconnectAfterMs });
    }
  }

  /** Sends an operator's word to all. */
  announce(message: string, details?: unknown): void {
    const created_at = timestamp(this.clock);
    const more = details === undefined ? {} : { details };
    for (const session of this.#welcomed()) {
      session.send({ type: "announcement", message, created_at, ...more });
    }
  }

  /** Connections stay open, and nothing goes through: half open, as behind a dead proxy. */
  stall(): void {
    this.#isStalled = true;
  }

  /** Ends {@link stall}: what happened meanwhile is read on. */
  resume(): void {
    this.#isStalled = false;
    for (const session of this.#sessions) session.catchUp();
  }

  /** Closes all connections, and forgets what runs; no timer of the server is left. */
  stop(): void {
    this.refuse();
    this.drop(CLOSE_CODES.GOING_AWAY.code, "the server stops");
    for (const request of this.requests) request.abandon();
  }

  // What sessions need.

  /** @internal */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** @internal */
  identify(token: string | undefined, url: string): Identity | number {
    const found = this.#refusal?.code ?? this.#authenticate(token, url);
    if (typeof found === "number") return found;
    return { principal: "principal", lifeMs: 3_600_000, ...found };
  }

  /** @internal */
  welcome({ principal, lifeMs }: Identity): wire.WelcomeMessage {
    return {
      type: "welcome",
      connection_id: `c-${++this.#welcomes}`,
      principal,
      server_time: timestamp(this.clock),
      server: { name: "in-memory", version: "1" },
      heartbeat: this.heartbeat,
      expires_at: timestamp(this.clock, lifeMs),
      limits: this.limits,
    };
  }

  /** @internal */
  admit({ action }: wire.RequestMessage): Refusal | undefined {
    const known = this.#actions.get(action);
    if (known === undefined) return refusal("UNKNOWN_ACTION", `there is no action ${action}`);
    return typeof known.script === "object" ? known.script : undefined;
  }

  /** @internal */
  submit(message: wire.RequestMessage, principal: string): void {
    const { script, durable } = this.#actions.get(message.action) ?? { durable: true };
    const request = new InMemoryRequest(message, principal, this.clock, {
      onEvent: (one, event: LogEvent) => {
        for (const session of this.#sessions) session.onEvent(one, event);
      },
      onProgress: (one, progress) => {
        for (const session of this.#sessions) session.onProgress(one, progress);
      },
      onAnswer: (one, answer) => {
        this.requests.splice(this.requests.indexOf(request), 1); // PROTOCOL 10.11
        for (const session of this.#sessions) session.onAnswer(one, answer);
      },
    });
    this.requests.push(request);
    // PROTOCOL 10.6, 10.10
    const { resend, delay_ms: delay, callback_url: callback } = message;
    const isQuick = !(durable || resend || delay !== undefined || callback !== undefined);
    const run = typeof script === "function" ? script : undefined;
    request.start(run, isQuick ? SYNC_WINDOW_MS : undefined);
    if (script === undefined) this.#offer(request);
  }

  /** @internal */
  forget(session: Session): void {
    this.#sessions.delete(session);
  }

  #offer(request: InMemoryRequest): void {
    const index = this.#takers.findIndex(
      ({ action }) => action === undefined || action === request.action,
    );
    const [taker] = index < 0 ? [] : this.#takers.splice(index, 1);
    if (taker) taker.take(request);
    else this.#untaken.push(request);
  }

  #welcomed(): Session[] {
    return [...this.#sessions].filter((session) => session.identity);
  }
}

/** Returns what {@link InMemoryServer.on} takes for requests that are turned down, not stored. */
export function refusal(
  code: KnownErrorCode,
  message = `scripted ${code}`,
  of: Failure = {},
): Refusal {
  checked({ type: "error", error: errorFrom(code, message, of) });
  return { ...of, code, message };
}
