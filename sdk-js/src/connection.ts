// SPDX-License-Identifier: Apache-2.0
import { LongcallError, WaitTimeoutError } from "./errors.js";
import type { Announcement, ClientState } from "./events.js";

import {
  type ClientOptions,
  type Clock,
  platformClock,
  settingsFrom,
  type TokenReason,
} from "./options.js";
import { browserSignals } from "./page.js";

import type { Effect } from "./protocol/effects.js";
import { Protocol } from "./protocol/protocol.js";
import type { Question, Signal } from "./protocol/signals.js";
import { Transport, type WebSocketConstructor } from "./transport.js";

/** The subprotocol of version 1. PROTOCOL 2.1.2. */
const SUBPROTOCOL = "longcall.v1";

/** The longest time that a timer of JavaScript can wait for, about 24 days. */
const LONGEST_TIMER_MS = 2_147_483_647;

/** The longest `traceparent` of a request. */
const MAX_TRACEPARENT = 256;

/** How long a caller waits. Its end cancels nothing. PROTOCOL 9.3. */
export interface Patience {
  /** Milliseconds after which a {@link WaitTimeoutError} is thrown. Default: never. */
  readonly timeoutMs?: number | undefined;
  /** Ends the waiting; its `reason` is thrown. Default: none. */
  readonly signal?: AbortSignal | undefined;
}

/** Drives the pure protocol: the one place that has sockets, a timer and a clock. */
export class Connection {
  readonly protocol: Protocol;
  readonly url: string;

  readonly #options: ClientOptions;
  readonly #WebSocket: WebSocketConstructor;
  readonly #clock: Clock;
  readonly #transports = new Map<number, Transport>();
  #timer: unknown;
  #timerAt = Number.POSITIVE_INFINITY;
  #isFlushing = false;
  #tokens: Promise<unknown> = Promise.resolve();
  #newestToken: string | undefined;
  #waits = 0;
  readonly #leavePage: () => void;
  #whenQuiet: (() => void)[] = [];

  /** Listeners of the application. */
  readonly stateListeners = new Set<(state: ClientState) => void>();
  readonly announcementListeners = new Set<(announcement: Announcement) => void>();

  constructor(url: string, options: ClientOptions, WebSocket: WebSocketConstructor) {
    this.url = url;
    const settings = settingsFrom(options);
    this.protocol = options.persist?.protocolOf(this, settings) ?? new Protocol(settings);
    this.#options = options;
    this.#WebSocket = WebSocket;
    this.#clock = options.clock ?? platformClock();
    if (options.onState) this.stateListeners.add(options.onState);
    if (options.onAnnouncement) this.announcementListeners.add(options.onAnnouncement);
    this.step(() => this.protocol.start());
    this.#leavePage = (options.page ?? browserSignals)((signal) =>
      this.step((now) => this.protocol.handlePage(signal, now)),
    );
  }

  /** Tells the protocol something, and does what it then wants done. */
  step<T>(input: (now: number) => T): T {
    try {
      return input(this.#clock.now());
    } finally {
      this.#flush();
    }
  }

  /** True where a fresh token can be had. */
  get hasTokenSource(): boolean {
    return typeof this.#options.token === "function";
  }

  /** Asks the application for the trace context of a request. PROTOCOL 4.4.6, 9.9. */
  traceparent(action: string, id: string): string | undefined {
    try {
      const context = this.#options.traceparent?.(action, id) || undefined;
      if (context === undefined || [...context].length <= MAX_TRACEPARENT) return context;
      this.warn("a trace context is left out: it is too long");
    } catch (error) {
      this.warn("the source of trace contexts threw", error);
    }
    return undefined;
  }

  /** Asks by HTTP. */
  async fetch(url: URL, init: RequestInit): Promise<Response> {
    return (this.#options.fetch ?? fetch)(url, init);
  }

  /** Returns a token for an HTTP request: the newest, or a fresh one. */
  async token(reason: TokenReason | undefined): Promise<string | undefined> {
    if (reason === undefined && this.#newestToken !== undefined) return this.#newestToken;
    return this.#fetchToken(reason ?? "connect");
  }

  /** Closes all for good; resolves when the sockets are closed. */
  async close(): Promise<void> {
    this.step((now) => this.protocol.close(now));
    if (this.#transports.size > 0) {
      await new Promise<void>((resolve) => this.#whenQuiet.push(resolve));
    }
  }

  /** Calls the application; what it throws is told and does no harm. PROTOCOL 9.9. */
  async guard(what: string, callback: () => unknown): Promise<void> {
    try {
      await callback();
    } catch (error) {
      this.warn(`${what} threw`, error);
    }
  }

  warn(text: string, cause?: unknown): void {
    try {
      const { onWarning } = this.#options;
      if (onWarning) onWarning(text, cause);
      else if (cause === undefined) console.warn(`longcall: ${text}`);
      else console.warn(`longcall: ${text}`, cause);
    } catch {
      // There is nobody left to tell.
    }
  }

  /**
   * Waits until `find` gives something, looking again each time that `signal` fires.
   *
   * @param onTimeout - makes the error that is thrown when the patience ends.
   */
  async wait<T>(
    changed: Signal,
    find: () => T | undefined,
    patience: Patience = {},
    onTimeout: () => LongcallError = () => new WaitTimeoutError(),
  ): Promise<T> {
    return this.ask<T>(
      (question) => {
        const look = () => {
          const found = find();
          if (found !== undefined) question.resolve(found);
        };
        look();
        return changed.subscribe(look);
      },
      patience,
      onTimeout,
    );
  }

  /** Asks something and waits for its answer; what `begin` returns is called at the end. */
  async ask<T>(
    begin: (question: Question<T>) => (() => void) | undefined,
    { timeoutMs, signal }: Patience = {},
    onTimeout: () => LongcallError = () => new WaitTimeoutError(),
  ): Promise<T> {
    signal?.throwIfAborted();
    const timer = `wait ${++this.#waits}`;
    let end: (() => void) | undefined;
    let onAbort: (() => void) | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        onAbort = () => reject(signal?.reason);
        signal?.addEventListener("abort", onAbort);
        end = begin({ resolve, reject });
        if (timeoutMs !== undefined) {
          this.step((now) => {
            this.protocol.at(timer, now + timeoutMs, () => reject(onTimeout()));
          });
        }
      });
    } finally {
      end?.();
      if (onAbort) signal?.removeEventListener("abort", onAbort);
      if (timeoutMs !== undefined) this.step(() => this.protocol.at(timer, undefined, () => {}));
    }
  }

  #flush(): void {
    if (this.#isFlushing) return; // a callback of the application called us: the loop goes on
    this.#isFlushing = true;
    try {
      for (;;) {
        const effects = this.protocol.takeEffects();
        if (effects.length === 0) break;
        for (const effect of effects) this.#do(effect);
      }
    } finally {
      this.#isFlushing = false;
    }
    this.#arm();
    if (this.#transports.size === 0) for (const tell of this.#whenQuiet.splice(0)) tell();
  }

  #do(effect: Effect): void {
    switch (effect.do) {
      case "send":
        this.#transports.get(effect.link)?.send(effect.text);
        return;
      case "token":
        void this.#getToken(effect.link, effect.reason);
        return;
      case "open":
        this.#open(effect.link);
        return;
      case "close":
        this.#transports.get(effect.link)?.close(effect.code, effect.reason);
        return;
      case "cut":
        this.#transports.get(effect.link)?.cut();
        return;
      case "state":
        if (effect.state.state === "closed") this.#leavePage();
        for (const listener of this.stateListeners) {
          void this.guard("a listener of the state", () => listener(effect.state));
        }
        return;
      case "announce":
        for (const listener of this.announcementListeners) {
          void this.guard("a listener of announcements", () => listener(effect.announcement));
        }
        return;
      case "warn":
        this.warn(effect.text);
    }
  }

  #open(link: number): void {
    const { protocol } = this;
    const onClosed = (code: number, reason: string, retryAfterMs?: number) => {
      this.#transports.delete(link);
      this.step((now) => protocol.handleClosed(link, code, reason, now, retryAfterMs));
    };
    try {
      const transport = new Transport(this.#WebSocket, this.url, SUBPROTOCOL, {
        onOpened: (selected) => {
          // PROTOCOL 2.1.5
          if (selected === SUBPROTOCOL) this.step((now) => protocol.handleOpened(link, now));
          else transport.close(1000, "no subprotocol");
        },
        onText: (text) => this.step((now) => protocol.handleText(link, text, now)),
        onBinary: () => this.step((now) => protocol.handleBinary(link, now)),
        onClosed,
      });
      this.#transports.set(link, transport);
    } catch (error) {
      this.warn("the WebSocket class threw", error);
      this.step((now) => protocol.handleClosed(link, 1006, "no socket could be made", now));
    }
  }

  async #getToken(link: number, reason: TokenReason): Promise<void> {
    let token: string | undefined;
    try {
      token = await this.#fetchToken(reason);
    } catch (error) {
      this.warn("the token source failed", error);
      this.step((now) => this.protocol.handleTokenFailed(link, now));
      return;
    }
    this.step((now) => this.protocol.handleToken(link, token, now));
  }

  // PROTOCOL 9.4.5: one call at a time.
  async #fetchToken(reason: TokenReason): Promise<string | undefined> {
    const { token } = this.#options;
    if (typeof token !== "function") return token;
    const call = this.#tokens.then(async () => {
      const fresh = await token(reason);
      if (typeof fresh !== "string" || fresh === "") {
        throw new LongcallError("the token function gave no text");
      }
      this.#newestToken = fresh;
      return fresh;
    });
    this.#tokens = call.catch(() => {});
    return call;
  }

  // The one timer. One that is early does no harm: it is set again.
  #arm(): void {
    const next = this.protocol.nextTimeout;
    if (next === undefined) {
      this.#clock.clearTimeout(this.#timer);
      this.#timerAt = Number.POSITIVE_INFINITY;
      return;
    }
    if (this.#timerAt <= next) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timerAt = next;
    const waitMs = Math.min(LONGEST_TIMER_MS, Math.max(0, Math.ceil(next - this.#clock.now())));
    this.#timer = this.#clock.setTimeout(() => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.step((now) => this.protocol.handleTimeout(now));
    }, waitMs);
  }
}
