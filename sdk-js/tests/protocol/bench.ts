// SPDX-License-Identifier: Apache-2.0
// A pure protocol on the bench: virtual time, messages in, messages out.
import { expect } from "vitest";
import type { ClientState, RequestEvent, Snapshot } from "../../src/events.js";
import type { ListingMessage } from "../../src/generated/messages.js";
import { type ClientOptions, settingsFrom } from "../../src/options.js";
import { Protocol } from "../../src/protocol/protocol.js";
import type { EventReader } from "../../src/protocol/reader.js";
import type { TrackedRequest } from "../../src/protocol/request.js";

export interface Wire {
  readonly type: string;
  readonly id?: unknown;
  readonly request_id?: unknown;
  readonly after_seq?: unknown;
  readonly follow?: unknown;
  readonly resend?: unknown;
}

export const CREATED = "2026-11-23T18:40:00.120Z";
export const LIMITS = {
  max_message_bytes: 1_048_576,
  max_depth: 64,
  max_in_flight: 1_000,
  messages_per_minute: 6_000,
  message_burst: 1_000,
  max_log_bytes: 67_108_864,
  id_retention_ms: 604_800_000,
};

export function welcomeMessage(more: object = {}): object {
  return {
    type: "welcome",
    connection_id: "c-1",
    principal: "p_1",
    server_time: "2026-11-23T18:40:00.000Z",
    server: { name: "bench", version: "1" },
    heartbeat: { interval_ms: 25_000, from: "server" },
    expires_at: "2026-11-23T19:40:00.000Z",
    limits: LIMITS,
    ...more,
  };
}

export function errorInfo(code: string, more: object = {}): object {
  return { code, message: "no", retryable: false, ...more };
}

export function summary(id: string, more: object = {}): object {
  return {
    id,
    action: "report",
    status: "processing",
    attempt: 1,
    created_at: CREATED,
    updated_at: CREATED,
    last_seq: 1,
    ...more,
  };
}

/** Something asked, and its answer. */
export class Asked<T> {
  answer: T | undefined;
  error: unknown;
  isAnswered = false;
  readonly resolve = (answer: T) => {
    this.answer = answer;
    this.isAnswered = true;
  };
  readonly reject = (error: unknown) => {
    this.error = error;
    this.isAnswered = true;
  };
}

/** The protocol and its surroundings: tokens are there at once, sockets open at once. */
export class Bench {
  readonly protocol: Protocol;
  now = 1_000_000;
  readonly states: ClientState[] = [];
  readonly warnings: string[] = [];
  readonly tokenReasons: string[] = [];
  readonly announcements: unknown[] = [];
  /** The links whose sockets are open or opening. */
  readonly open = new Set<number>();
  readonly closes: { link: number; code: number }[] = [];
  readonly cuts: number[] = [];
  /** Whether sockets open by themselves, and closes are answered. */
  isUp = true;
  answersCloses = true;
  /** Whether tokens are still on their way: the test itself calls `handleToken`. */
  holdsTokens = false;
  giveToken: (reason: string) => string | undefined | Error = () => "token";
  #sent: { link: number; message: Wire }[] = [];
  #newest = 0;

  constructor(options: ClientOptions = {}) {
    this.protocol = new Protocol(
      settingsFrom({ token: () => "token", random: () => 1, ...options }),
    );
    this.protocol.start();
    this.flush();
  }

  /** A bench that is connected and welcomed, with nothing in `take`. */
  static ready(options: ClientOptions = {}, more: object = {}): Bench {
    const bench = new Bench(options);
    bench.welcome(more);
    bench.take();
    return bench;
  }

  get link(): number {
    return this.#newest;
  }

  get state(): ClientState {
    return this.protocol.state;
  }

  flush(): void {
    for (;;) {
      const effects = this.protocol.takeEffects();
      if (effects.length === 0) return;
      for (const effect of effects) {
        if (effect.do === "send") {
          expect(this.open.has(effect.link), "sent on an open socket").toBe(true);
          this.#sent.push({ link: effect.link, message: JSON.parse(effect.text) });
        } else if (effect.do === "token") this.#token(effect.link, effect.reason);
        else if (effect.do === "open") this.#open(effect.link);
        else if (effect.do === "close") {
          this.closes.push({ link: effect.link, code: effect.code });
          if (this.answersCloses) this.closed(effect.code, "", effect.link);
        } else if (effect.do === "cut") {
          this.cuts.push(effect.link);
          this.closed(1006, "", effect.link);
        } else if (effect.do === "state") this.states.push(effect.state);
        else if (effect.do === "announce") this.announcements.push(effect.announcement);
        else this.warnings.push(effect.text);
      }
    }
  }

  #token(link: number, reason: string): void {
    this.tokenReasons.push(reason);
    if (this.holdsTokens) return;
    const token = this.giveToken(reason);
    if (token instanceof Error) this.protocol.handleTokenFailed(link, this.now);
    else this.protocol.handleToken(link, token, this.now);
  }

  #open(link: number): void {
    this.open.add(link);
    this.#newest = link;
    if (this.isUp) this.protocol.handleOpened(link, this.now);
  }

  /** Returns what was sent since the last time, on `link` or on all. */
  take(link?: number): Wire[] {
    const taken = this.#sent.filter((sent) => link === undefined || sent.link === link);
    this.#sent = this.#sent.filter((sent) => !taken.includes(sent));
    return taken.map(({ message }) => message);
  }

  /** Returns what was sent since the last time, in short: `attach a after 3`. */
  said(link?: number): string[] {
    return this.take(link).map((message) => {
      const id = message.request_id ?? message.id ?? "";
      const after = message.after_seq === undefined ? "" : ` after ${message.after_seq}`;
      const once = message.follow === false ? " once" : "";
      return `${message.type} ${id}${after}${once}${message.resend ? " again" : ""}`.trim();
    });
  }

  text(text: string, link = this.link): void {
    this.protocol.handleText(link, text, this.now);
    this.flush();
  }

  /** The server sends messages. */
  server(...messages: object[]): void {
    for (const message of messages) this.text(JSON.stringify(message));
  }

  serverOn(link: number, ...messages: object[]): void {
    for (const message of messages) this.text(JSON.stringify(message), link);
  }

  welcome(more: object = {}): void {
    this.server(welcomeMessage(more));
  }

  closed(code = 1006, reason = "", link = this.link): void {
    this.open.delete(link);
    this.protocol.handleClosed(link, code, reason, this.now);
    this.flush();
  }

  /** Lets time pass, timer by timer. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.protocol.nextTimeout;
      if (next === undefined || next > end) break;
      this.now = Math.max(this.now, next);
      this.protocol.handleTimeout(this.now);
      this.flush();
    }
    this.now = end;
    this.protocol.handleTimeout(end);
    this.flush();
  }

  /** Lets time pass while the server pings; the pongs are not kept. */
  live(ms: number): void {
    for (let left = ms; left > 0; left -= 20_000) {
      this.advance(Math.min(left, 20_000));
      this.server({ type: "ping" });
      this.#sent = this.#sent.filter(({ message }) => message.type !== "pong");
    }
  }

  /** Lets time pass until the next socket is opened. */
  retry(): void {
    const link = this.#newest;
    while (this.#newest === link) this.advance(100);
  }

  /** Loses the connection, and comes back; `hello` is not kept. */
  reconnect(code = 1006, more: object = {}): void {
    this.closed(code);
    this.retry();
    this.take();
    this.welcome(more);
  }

  submit(id: string, more: object = {}, hasOwnId = true): TrackedRequest {
    const message = { type: "request", id, action: "report", ...more } as const;
    const state = this.protocol.submit(message, hasOwnId, this.now);
    this.flush();
    return state;
  }

  attach(id: string): TrackedRequest {
    const state = this.protocol.attach(id, this.now);
    this.flush();
    return state;
  }

  /** Submits a request that the server acknowledges; nothing is left in `take`. */
  stored(id: string, more: object = {}): TrackedRequest {
    const state = this.submit(id, more);
    this.server(acknowledgment(id));
    this.take();
    return state;
  }

  iterate(state: TrackedRequest): EventReader {
    const reader = this.protocol.openReader(state, undefined, this.now);
    this.flush();
    return reader;
  }

  leave(state: TrackedRequest, reader: EventReader): void {
    this.protocol.closeReader(state, reader, this.now);
    this.flush();
  }

  detach(state: TrackedRequest): void {
    state.handles -= 1;
    this.touch(state);
  }

  touch(state: TrackedRequest): void {
    this.protocol.touch(state, this.now);
    this.flush();
  }

  snapshot(state: TrackedRequest): Asked<Snapshot> {
    const asked = new Asked<Snapshot>();
    this.protocol.snapshot(state, asked, this.now);
    this.flush();
    return asked;
  }

  cancel(state: TrackedRequest, reason?: string): Asked<void> {
    const asked = new Asked<void>();
    this.protocol.cancel(state, reason, asked, this.now);
    this.flush();
    return asked;
  }

  list(filters: object = {}): Asked<ListingMessage> {
    const asked = new Asked<ListingMessage>();
    this.protocol.list(filters, asked, this.now);
    this.flush();
    return asked;
  }

  close(): void {
    this.protocol.close(this.now);
    this.flush();
  }
}

/** Takes all that waits in a reader. */
export function taken(reader: EventReader): RequestEvent[] {
  const events: RequestEvent[] = [];
  for (let event = reader.pop(); event !== undefined; event = reader.pop()) events.push(event);
  return events;
}

/** The same in short: `queued`, `processing 1`, `chunk 3`, `progress 1.2`. */
export function told(reader: EventReader): string[] {
  return taken(reader).map((event) => {
    if (event.kind === "chunk") return `chunk ${event.seq}`;
    if (event.kind === "progress") return `progress ${event.attempt}.${event.version}`;
    return event.status === "queued" ? "queued" : `${event.status} ${event.attempt}`;
  });
}

export function acknowledgment(id: string, more: object = {}): object {
  return {
    type: "acknowledgment",
    request_id: id,
    seq: 1,
    status: "queued",
    created_at: CREATED,
    ...more,
  };
}

export function processing(id: string, seq: number, attempt = 1, kept = 0): object {
  return {
    type: "status",
    request_id: id,
    seq,
    status: "processing",
    attempt,
    chunks_kept_to: kept,
  };
}

export function chunk(id: string, seq: number, data: unknown = seq, attempt = 1): object {
  return { type: "chunk", request_id: id, seq, attempt, data };
}

export function progress(id: string, version: number, attempt = 1, more: object = {}): object {
  return { type: "progress", request_id: id, attempt, version, updated_at: CREATED, ...more };
}

export function complete(id: string, seq: number, result: unknown = "done"): object {
  return { type: "complete", request_id: id, seq, result };
}

export function failed(id: string, seq: number, code = "HANDLER_ERROR"): object {
  return { type: "error", request_id: id, seq, error: errorInfo(code) };
}

export function refusal(replyTo: string, id: string, code: string, more: object = {}): object {
  return { type: "error", request_id: id, reply_to: replyTo, error: errorInfo(code, more) };
}

export function snapshotMessage(id: string, more: object = {}, replyTo = "attach"): object {
  return { type: "snapshot", request_id: id, reply_to: replyTo, request: summary(id, more) };
}
