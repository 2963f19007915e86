// SPDX-License-Identifier: Apache-2.0
import { Backoff } from "../backoff.js";
import { encode } from "../codec.js";
import { ConnectionClosedError, type LongcallError, localError } from "../errors.js";
import { type ClientState, parseTimestamp } from "../events.js";
import { CLOSE_CODES, closeAction } from "../generated/codes.js";
import type {
  ErrorInfo,
  GoawayMessage,
  HelloMessage,
  RefreshedMessage,
  WelcomeMessage,
} from "../generated/messages.js";
import {
  CONNECTION_INITIAL,
  CONNECTION_TRANSITIONS,
  type ConnectionEvent,
} from "../generated/states.js";
import type { TokenReason } from "../options.js";
import type { PageSignal } from "../page.js";
import { VERSION } from "../version.js";
import type { Context } from "./context.js";
import { Heartbeat } from "./heartbeat.js";
import { TokenBucket } from "./limits.js";
import { Link } from "./link.js";
import type { TrackedRequest } from "./request.js";
import type { Requests } from "./requests.js";
import { Signal } from "./signals.js";

/** The close code of an end that nobody is to blame for. */
const NORMAL = 1000;

/** The part of a token's life after which it is refreshed. PROTOCOL 10.41. */
const REFRESH_AT = 0.8;

/** The life of the connections of a client: opening, moving, losing, trying again. PROTOCOL 9.4. */
export class Connection {
  state: ClientState = { state: "connecting" };
  readonly stateChanged = new Signal();

  readonly #context: Context;
  readonly #requests: Requests;
  readonly #backoff: Backoff;
  #machine = CONNECTION_INITIAL;
  #links = 0;
  #welcomes = 0;
  /** Who this client is to the server, from the first welcome on. PROTOCOL 10.40. */
  principal: string | undefined;
  #isRefused = false; // 4401, and no welcome since
  #nextReason: TokenReason = "connect";
  #notBefore = 0; // the server wants no earlier try

  constructor(context: Context, requests: Requests) {
    const { backoffInitialMs, backoffMaximumMs, random } = context.settings;
    this.#context = context;
    this.#requests = requests;
    this.#backoff = new Backoff(backoffInitialMs, backoffMaximumMs, random);
  }

  get isClosed(): boolean {
    return this.#machine === "closed";
  }

  /** Opens the next connection. */
  open(): void {
    const link = new Link(++this.#links);
    this.#context.current = link;
    this.#context.effects.push({ do: "token", link: link.id, reason: this.#nextReason });
    this.#nextReason = "connect";
  }

  /** A token is there: for a connection to be opened, or for a refresh. */
  token(link: Link, token: string | undefined, now: number): void {
    if (link.phase === "token") {
      link.phase = "opening";
      link.token = token;
      this.#context.effects.push({ do: "open", link: link.id });
      this.#context.timers.set(
        `welcome ${link.id}`,
        now + this.#context.settings.openTimeoutMs,
        (at) => {
          this.#context.close(link, CLOSE_CODES.TOO_SLOW.code, "no welcome in time", at);
        },
      );
    } else if (link.phase === "ready" && token !== undefined) {
      this.#requests.sender.sendNow(link, { type: "refresh", token }, now);
    }
  }

  /** The token source failed. PROTOCOL 9.4.6. */
  tokenFailed(link: Link, now: number): void {
    if (link.phase === "token") this.lost(link, undefined, "no token could be had", now);
    else this.#refreshAgain(link, now);
  }

  /** The socket is open. PROTOCOL 4.2.1. */
  opened(link: Link, now: number): void {
    if (link.phase !== "opening") return;
    const name = `${this.#context.settings.userAgent} longcall-js`.trim().slice(0, 128);
    const hello: HelloMessage = { type: "hello", client: { name, version: VERSION } };
    if (link.token !== undefined) hello.token = link.token;
    try {
      this.#context.send(link, encode(hello));
      link.phase = "greeting";
    } catch {
      this.#context.warn("the token source gave what is no token"); // the text would show it
      this.#context.close(link, NORMAL, "no token", now);
    }
  }

  welcome(link: Link, message: WelcomeMessage, now: number): void {
    this.principal ??= message.principal;
    if (this.principal !== message.principal) {
      this.#context.close(link, NORMAL, "another principal", now); // PROTOCOL 10.40
      this.#stop(undefined, "the token is another user's", now, (state) =>
        localError("UNAUTHORIZED", "the token names another user than that of this client", {
          requestId: state?.id,
          outcomeUnknown: state?.phase === "sent",
        }),
      );
      return;
    }
    const { limits, heartbeat } = message;
    link.phase = "ready";
    link.terms = {
      limits,
      bucket: new TokenBucket(limits.message_burst, limits.messages_per_minute, now),
      // PROTOCOL 6.7.4: an unknown side is the server.
      heartbeat: new Heartbeat(heartbeat.interval_ms, heartbeat.from === "client", now),
    };
    this.#context.timers.cancel(`welcome ${link.id}`);
    this.#armHeartbeat(link, now);
    this.#refreshLater(link, message, now);
    this.#backoff.welcomed();
    this.#isRefused = false;
    this.#become("welcome", { state: "ready", resumed: this.#welcomes++ > 0 });
    this.#requests.linkReady();
  }

  refreshed(link: Link, message: RefreshedMessage, now: number): void {
    if (link.phase === "ready") this.#refreshLater(link, message, now);
  }

  refreshRefused(link: Link, error: ErrorInfo, now: number): void {
    this.#context.warn(`a refresh of the token was refused: ${error.code}`);
    this.#refreshAgain(link, now);
  }

  /** PROTOCOL 6.8, 10.37: the old connection goes on answering while a new one is opened. */
  goaway(link: Link, message: GoawayMessage, now: number): void {
    if (link.phase !== "ready") return;
    link.phase = "draining";
    this.#context.timers.cancel(`refresh ${link.id}`);
    this.#context.timers.cancel(`bucket ${link.id}`);
    this.#context.current = undefined;
    this.#context.draining.add(link);
    this.#retryAt(now + message.reconnect_after_ms);
    this.#become("goaway", { state: "draining", reason: message.reason });
  }

  /** Closes old connections that are of no more use. PROTOCOL 10.38. */
  finishMoving(now: number): void {
    const { ready, draining } = this.#context;
    if (ready === undefined || ready.attaches.size > 0 || this.#requests.sender.isMoving) return;
    for (const link of draining) {
      if (link.isQuiet) this.#context.close(link, NORMAL, "moved", now);
    }
  }

  /** Leaves a server that breaks the protocol. PROTOCOL 4.2.9, 4.3.14, 10.30. */
  violated(
    link: Link,
    what: string,
    now: number,
    code: number = CLOSE_CODES.PROTOCOL_ERROR.code,
  ): void {
    if (link.phase === "closing") return;
    this.#context.warn(`the server broke the protocol: ${what}`);
    if (link.terms !== undefined) this.#backoff.violated();
    this.#context.close(link, code, "protocol error", now);
  }

  /** A connection is gone, whoever ended it. */
  lost(link: Link, code: number | undefined, reason: string, now: number, retryAfterMs = 0): void {
    const { timers, draining } = this.#context;
    for (const name of ["welcome", "heartbeat", "refresh", "closing", "bucket"]) {
      timers.cancel(`${name} ${link.id}`);
    }
    const wasCurrent = this.#context.current === link;
    if (wasCurrent) this.#context.current = undefined;
    draining.delete(link);
    if (this.isClosed) return;
    const theirs = link.closedWith === undefined ? code : undefined;
    this.#requests.linkLost(link, theirs);
    // PROTOCOL 7.3.3: the table is for codes that the server sent.
    const action = link.closedWith === undefined ? closeAction(code) : "reconnect";
    const told = link.closedWith ?? { code, reason };
    if (!wasCurrent && this.#context.current !== undefined) {
      this.#lostWhileMoving(told);
      return;
    }
    if (action === "stop" || (action === "reconnect_with_fresh_token" && this.#isRefused)) {
      this.#stop(told.code, told.reason, now);
      return;
    }
    if (action === "reconnect_with_fresh_token") {
      this.#isRefused = true; // PROTOCOL 10.42: once
      this.#nextReason = "unauthorized";
    }
    const planned = timers.due("retry");
    if (planned === undefined && !this.#context.isAway) {
      this.#notBefore = now + retryAfterMs;
      this.#retryAt(now + Math.max(retryAfterMs, this.#waitMs()));
    }
    if (draining.size > 0) return; // the old connection still answers
    const retryInMs = Math.max(0, (timers.due("retry") ?? now) - now);
    this.#become("lost", {
      state: "reconnecting",
      retryInMs,
      code: told.code,
      reason: told.reason,
    });
  }

  /** The old connection is gone; the new one is there already, or on its way. */
  #lostWhileMoving(told: { readonly code: number | undefined; readonly reason: string }): void {
    if (this.#context.ready !== undefined || this.#context.draining.size > 0) return;
    this.#become("lost", { state: "reconnecting", retryInMs: 0, ...told });
    this.#become("retry", { state: "connecting" });
  }

  /** The application closes the client. PROTOCOL 9.3.4: nothing is cancelled. */
  close(now: number): void {
    if (!this.isClosed) this.#stop(undefined, "the application closed it", now, undefined, "close");
  }

  #stop(
    code: number | undefined,
    reason: string,
    now: number,
    error: (state: TrackedRequest | undefined) => LongcallError = (state) =>
      new ConnectionClosedError(code, reason, {
        ...(state !== undefined && { requestId: state.id }),
        outcomeUnknown: state?.phase === "sent", // PROTOCOL 9.5.7
      }),
    event: ConnectionEvent = "stop",
  ): void {
    this.#context.timers.clear();
    this.#requests.endAll(error);
    for (const link of this.#context.links) {
      if (link.phase === "token")
        this.#context.current = undefined; // it has no socket yet
      else if (link.phase !== "closing") this.#context.close(link, NORMAL, "", now);
      else this.#context.effects.push({ do: "cut", link: link.id });
    }
    this.#become(event, { state: "closed", code, reason });
  }

  /** What the page tells. */
  page(signal: PageSignal, now: number): void {
    if (this.isClosed) return;
    const context = this.#context;
    if (signal === "pagehide") this.#leave(now);
    else if (signal === "pageshow") {
      if (context.isAway) this.#retryAt(now);
      context.isAway = false;
    } else {
      if (signal === "hidden" || signal === "visible") context.isHidden = signal === "hidden";
      else context.isOffline = signal === "offline";
      if (signal !== "hidden") this.#lookUp(now);
    }
  }

  /** Closes all, so that the page can be kept: a page with an open socket is not. */
  #leave(now: number): void {
    this.#context.isAway = true;
    this.#context.timers.cancel("retry");
    for (const link of this.#context.links) {
      if (link.phase === "token") this.#context.current = undefined;
      else {
        this.#context.close(link, NORMAL, "the page was left", now);
        this.#context.effects.push({ do: "cut", link: link.id }); // there is no time for a handshake
      }
    }
  }

  /** The network may be another, or time may have stood still. PROTOCOL 6.7.8. */
  #lookUp(now: number): void {
    for (const link of this.#context.links) this.#probe(link, now);
    const due = this.#context.timers.due("retry");
    if (due === undefined || this.#context.isOffline || this.#context.draining.size > 0) return;
    const { backoffInitialMs, random } = this.#context.settings;
    // PROTOCOL 9.4.2: a wait still, for a network comes back for many at once.
    this.#retryAt(Math.min(due, Math.max(this.#notBefore, now + random() * backoffInitialMs)));
  }

  #probe(link: Link, now: number): void {
    if (link.terms === undefined || link.phase === "closing") return;
    link.terms.heartbeat.probed(now);
    this.#requests.sender.sendNow(link, { type: "ping" }, now);
    this.#armHeartbeat(link, now);
  }

  /** Returns how long to wait; offline, where each try would fail at once, about as long as may be. */
  #waitMs(): number {
    const { backoffMaximumMs, random } = this.#context.settings;
    if (this.#context.isOffline) return (backoffMaximumMs * (1 + random())) / 2;
    return this.#backoff.waitMs();
  }

  #retryAt(at: number): void {
    this.#context.timers.set("retry", at, () => {
      if (this.#machine === "reconnecting") this.#become("retry", { state: "connecting" });
      this.open();
    });
  }

  #refreshLater(link: Link, of: { expires_at: string; server_time: string }, now: number): void {
    // PROTOCOL 10.41: differences to the server's clock only.
    const lifeMs = parseTimestamp(of.expires_at) - parseTimestamp(of.server_time);
    link.expiresAt = now + lifeMs;
    this.#setRefresh(link, now + Math.max(1_000, lifeMs * REFRESH_AT));
  }

  #refreshAgain(link: Link, now: number): void {
    const leftMs = link.expiresAt - now;
    if (leftMs > 1_000) this.#setRefresh(link, now + Math.max(1_000, leftMs * REFRESH_AT));
  }

  #setRefresh(link: Link, at: number): void {
    if (!this.#context.settings.hasTokenSource || link.phase !== "ready") return;
    this.#context.timers.set(`refresh ${link.id}`, at, () => {
      this.#context.effects.push({ do: "token", link: link.id, reason: "refresh" });
    });
  }

  #armHeartbeat(link: Link, from: number): void {
    const { heartbeat } = link.terms ?? {};
    if (heartbeat === undefined) return;
    const at = heartbeat.nextLook(from, this.#context.isHidden);
    this.#context.timers.set(`heartbeat ${link.id}`, at, (now) => {
      const seen = heartbeat.look(now, this.#context.isHidden);
      if (seen === "dead") {
        this.#context.close(link, CLOSE_CODES.TOO_SLOW.code, "nothing was heard", now); // PROTOCOL 6.7.6
      } else if (seen === "probe") this.#probe(link, now);
      else {
        if (seen === "ping") this.#requests.sender.sendNow(link, { type: "ping" }, now);
        this.#armHeartbeat(link, now);
      }
    });
  }

  #become(event: ConnectionEvent, state: ClientState): void {
    const next = CONNECTION_TRANSITIONS[this.#machine][event];
    if (next !== state.state) {
      this.#context.warn(`no transition of ${this.#machine} by ${event} to ${state.state}`);
    }
    this.#machine = state.state;
    this.state = state;
    this.#context.effects.push({ do: "state", state });
    this.stateChanged.fire();
  }
}
