// SPDX-License-Identifier: Apache-2.0
// The options of a client. Each states its default where it is declared.
import { ConfigurationError } from "./errors.js";
import type { Announcement, ClientState } from "./events.js";
import type { PageSignals } from "./page.js";
import type { Persistence } from "./persistence.js";
import type { WebSocketConstructor } from "./transport.js";

/** Why a token is asked for; `unauthorized`: the server refused the one before. */
export type TokenReason = "connect" | "refresh" | "unauthorized";

/** A token, or what gives a fresh one each time. */
export type Token = string | ((reason: TokenReason) => string | Promise<string>);

/** What tells the time and wakes the client. */
export interface Clock {
  /** Milliseconds since any moment; they never go back. */
  now(): number;
  /** Calls `callback` once, `ms` from now; a timer that is early does no harm. */
  setTimeout(callback: () => void, ms: number): unknown;
  /** Forgets what `setTimeout` returned; `undefined` is nothing. */
  clearTimeout(timer: unknown): void;
}

/** How a client behaves. */
export interface ClientOptions {
  /** Who is asking. Default: none, where it travels otherwise. */
  readonly token?: Token;
  /** The class that makes sockets. Default: the global `WebSocket`; on Node.js 20 pass that of `ws`. */
  readonly webSocket?: WebSocketConstructor;
  /** Called at each change of the state of the connection. */
  readonly onState?: (state: ClientState) => void;
  /** Called for each announcement of an operator. */
  readonly onAnnouncement?: (announcement: Announcement) => void;
  /**
   * Called with what a log should have: what the server sent and was ignored, what a token source or
   * a callback threw. Never with a token. Default: `console.warn`.
   */
  readonly onWarning?: (text: string, cause?: unknown) => void;
  /** Name of the application, put before this SDK's own in `hello.client.name`. Default: none. */
  readonly userAgent?: string;
  /** How long opening a socket and its `welcome` may take together. Default 10 000. */
  readonly openTimeoutMs?: number;
  /** How long the closing handshake may take before the socket is cut. Default 1 000. */
  readonly closeTimeoutMs?: number;
  /** The first bound of the random wait before a reconnect. Default 500. */
  readonly backoffInitialMs?: number;
  /** The greatest bound. Default 20 000. */
  readonly backoffMaximumMs?: number;
  /** Requests that may wait to be sent: offline, or held back by the server's limits. Default 1 000. */
  readonly maxQueue?: number;
  /** Bytes of requests that may wait to be sent. Default 64 MiB. */
  readonly maxQueueBytes?: number;
  /** Events that may wait in one iterator. Default 4 096. */
  readonly maxIteratorEvents?: number;
  /** Length of the messages that may wait in one iterator; one always fits. Default 4 MiB. */
  readonly maxIteratorBytes?: number;
  /**
   * Gives the W3C trace context of each request that is made without one; called within `call` and
   * `submit`, so that the active span is the caller's. Default: none.
   */
  readonly traceparent?: (action: string, requestId: string) => string | undefined;
  /** What downloads files. Default: the global `fetch`. */
  readonly fetch?: typeof fetch;
  /**
   * What tells that the page is hidden, offline or left. Default: the events of the browser; where
   * there are none, nothing.
   */
  readonly page?: PageSignals;
  /** Remembers requests beyond this page: see `longcall/persist`. Default: nothing does. */
  readonly persist?: Persistence;
  /** A number from 0 to 1, for the waits. Default `Math.random`. */
  readonly random?: () => number;
  /** Time and timers, for tests: see `longcall/testing`. Default: those of the platform, sleep included. */
  readonly clock?: Clock;
}

/** How much an iterator may hold. */
export interface ReaderLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** What the pure protocol needs to know. */
export interface Settings {
  /** True where a fresh token can be had, so that refreshing makes sense. */
  readonly hasTokenSource: boolean;
  readonly userAgent: string;
  readonly openTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly backoffInitialMs: number;
  readonly backoffMaximumMs: number;
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  readonly reader: ReaderLimits;
  readonly random: () => number;
}

/** Returns the options with their defaults; throws {@link ConfigurationError} for one of no use. */
export function settingsFrom(options: ClientOptions): Settings {
  const positive = (name: keyof ClientOptions, standard: number): number => {
    const value = options[name] ?? standard;
    if (typeof value !== "number" || !(value > 0)) {
      throw new ConfigurationError(`${name} must be a number greater than 0, not ${String(value)}`);
    }
    return value;
  };
  const { token } = options;
  if (!["undefined", "string", "function"].includes(typeof token) || token === "") {
    throw new ConfigurationError("token must be a string that is not empty, or a function");
  }
  return {
    hasTokenSource: typeof token === "function",
    userAgent: options.userAgent ?? "",
    openTimeoutMs: positive("openTimeoutMs", 10_000),
    closeTimeoutMs: positive("closeTimeoutMs", 1_000),
    backoffInitialMs: positive("backoffInitialMs", 500),
    backoffMaximumMs: positive("backoffMaximumMs", 20_000),
    maxQueue: positive("maxQueue", 1_000),
    maxQueueBytes: positive("maxQueueBytes", 64 * 1024 * 1024),
    reader: {
      maxEvents: positive("maxIteratorEvents", 4_096),
      maxBytes: positive("maxIteratorBytes", 4 * 1024 * 1024),
    },
    random: options.random ?? Math.random,
  };
}

/** Returns the address of a WebSocket, with its path where that lacks; throws {@link ConfigurationError}. */
export function checkedUrl(url: string | URL): string {
  try {
    const address = new URL(url);
    if (address.pathname === "/") address.pathname = "/v1/connect";
    if (/^wss?:$/.test(address.protocol) && address.hash === "") return address.href;
  } catch {
    // Not an address at all.
  }
  throw new ConfigurationError("the url must be an address like wss://host/v1/connect");
}

/** Returns a clock that counts sleep where the platform has one clock that does. PROTOCOL 10.31. */
export function platformClock(): Clock {
  let now = 0;
  let steady = performance.now();
  let wall = Date.now();
  return {
    now() {
      const [steadyNow, wallNow] = [performance.now(), Date.now()];
      // The steady clock may stand still while the machine sleeps, the other may be set back.
      now += Math.max(0, steadyNow - steady, wallNow - wall);
      [steady, wall] = [steadyNow, wallNow];
      return now;
    },
    setTimeout: (callback, ms) => setTimeout(callback, ms),
    clearTimeout: (timer) => clearTimeout(timer as number | undefined),
  };
}
