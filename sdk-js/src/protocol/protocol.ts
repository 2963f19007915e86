// SPDX-License-Identifier: Apache-2.0
import { decode } from "../codec.js";
import { type Announcement, announcementFrom, type ClientState, type Snapshot } from "../events.js";
import { CLOSE_CODES } from "../generated/codes.js";
import type {
  ListingMessage,
  ListMessage,
  RequestMessage,
  ServerMessage,
} from "../generated/messages.js";
import type { Settings } from "../options.js";
import type { PageSignal } from "../page.js";
import { Connection } from "./connection.js";
import { Context } from "./context.js";
import type { Effect } from "./effects.js";
import type { Link } from "./link.js";
import type { EventReader } from "./reader.js";
import { Receiver } from "./receiver.js";
import type { TrackedRequest } from "./request.js";
import { Requests } from "./requests.js";
import type { Question, Signal } from "./signals.js";

/**
 * The whole protocol of a client, pure: messages and time go in, frames and events come out. No
 * socket, no timer, no clock, no task.
 *
 * After each call the caller must do `takeEffects()` in order, and call `handleTimeout` when
 * `nextTimeout` is reached. Times are milliseconds of one clock. `handle…` methods never throw.
 */
export class Protocol {
  readonly #context: Context;
  readonly #requests: Requests;
  readonly #connection: Connection;
  readonly #receiver: Receiver;

  constructor(settings: Settings) {
    this.#context = new Context(settings);
    this.#requests = new Requests(this.#context);
    this.#connection = new Connection(this.#context, this.#requests);
    this.#receiver = new Receiver(this.#context, this.#requests);
  }

  get state(): ClientState {
    return this.#connection.state;
  }

  get stateChanged(): Signal {
    return this.#connection.stateChanged;
  }

  /** Who this client is to the server; opaque, and known from the first welcome on. */
  get principal(): string | undefined {
    return this.#connection.principal;
  }

  /** How many messages of the server were ignored. PROTOCOL 2.5.3. */
  get ignored(): number {
    return this.#context.ignored;
  }

  /** Returns what is to be done now, in order. */
  takeEffects(): Effect[] {
    return this.#context.effects.splice(0);
  }

  /** Returns when `handleTimeout` is due. */
  get nextTimeout(): number | undefined {
    return this.#context.timers.next();
  }

  // What happens.

  start(): void {
    this.#connection.open();
  }

  handleTimeout(now: number): void {
    this.#context.timers.run(now);
    this.#settle(now);
  }

  handleToken(linkId: number, token: string | undefined, now: number): void {
    this.#with(linkId, now, (link) => this.#connection.token(link, token, now));
  }

  handleTokenFailed(linkId: number, now: number): void {
    this.#with(linkId, now, (link) => this.#connection.tokenFailed(link, now));
  }

  handleOpened(linkId: number, now: number): void {
    this.#with(linkId, now, (link) => this.#connection.opened(link, now));
  }

  handleText(linkId: number, text: string, now: number): void {
    this.#with(linkId, now, (link) => this.#text(link, text, now));
  }

  handleBinary(linkId: number, now: number): void {
    const { code } = CLOSE_CODES.BINARY_FRAME; // PROTOCOL 2.2.3
    this.#with(linkId, now, (link) =>
      this.#connection.violated(link, "a binary message", now, code),
    );
  }

  handleClosed(
    linkId: number,
    code: number,
    reason: string,
    now: number,
    retryAfterMs?: number,
  ): void {
    this.#with(linkId, now, (link) => this.#connection.lost(link, code, reason, now, retryAfterMs));
  }

  handlePage(signal: PageSignal, now: number): void {
    this.#connection.page(signal, now);
    this.#settle(now);
  }

  // What the application wants.

  /** Submits a request, or finds the one that it repeats. Throws what is wrong with it. */
  submit(message: RequestMessage, hasOwnId: boolean, now: number): TrackedRequest {
    const state = this.#requests.submit(message, hasOwnId);
    state.handles += 1;
    this.#settle(now);
    return state;
  }

  /** Follows a request, from event 1 on. Throws for a bad id. */
  attach(id: string, now: number): TrackedRequest {
    const state = this.#requests.attach(id);
    state.handles += 1;
    this.touch(state, now);
    return state;
  }

  /** Finds the request of a handle that may have been forgotten. */
  revive(state: TrackedRequest): TrackedRequest {
    return this.#requests.revive(state);
  }

  openPassiveReader(state: TrackedRequest): EventReader {
    return this.#requests.openPassiveReader(state);
  }

  /** Begins an iteration behind event `after`. */
  openReader(
    state: TrackedRequest,
    first: EventReader | undefined,
    now: number,
    after = 0,
  ): EventReader {
    const reader = this.#requests.openReader(state, first);
    if (first === undefined) reader.position = after;
    this.touch(state, now);
    return reader;
  }

  closeReader(state: TrackedRequest, reader: EventReader, now: number): void {
    state.readers.delete(reader);
    this.touch(state, now);
  }

  /** Looks what is to be done after handles, iterators or waiters of a request came or went. */
  touch(state: TrackedRequest, now: number): void {
    this.#requests.touch(state);
    this.#settle(now);
  }

  snapshot(state: TrackedRequest, question: Question<Snapshot>, now: number): void {
    this.#requests.snapshot(state, question);
    this.touch(state, now);
  }

  cancel(
    state: TrackedRequest,
    reason: string | undefined,
    question: Question<void>,
    now: number,
  ): void {
    this.#requests.cancel(state, reason, question);
    this.#settle(now);
  }

  list(
    filters: Omit<ListMessage, "type" | "id">,
    question: Question<ListingMessage>,
    now: number,
  ): void {
    this.#requests.list(filters, question);
    this.#settle(now);
  }

  /** Runs `action` at a time; the timer of a caller's patience. */
  at(name: string, time: number | undefined, action: () => void): void {
    if (time === undefined) this.#context.timers.cancel(name);
    else this.#context.timers.set(name, time, action);
  }

  close(now: number): void {
    this.#connection.close(now);
  }

  #with(linkId: number, now: number, action: (link: Link) => void): void {
    const link = this.#context.link(linkId);
    if (link === undefined) return;
    action(link);
    this.#settle(now);
  }

  #settle(now: number): void {
    this.#requests.sender.pump(now);
    this.#connection.finishMoving(now);
  }

  #text(link: Link, text: string, now: number): void {
    if (link.phase === "closing") return;
    link.terms?.heartbeat.heard(now); // PROTOCOL 6.7.1
    const decoded = decode(text);
    if (link.terms === undefined) {
      const isWelcome = decoded.kind === "message" && decoded.message.type === "welcome";
      if (isWelcome && link.phase === "greeting")
        this.#connection.welcome(link, decoded.message, now);
      else this.#connection.violated(link, "the first message is no welcome", now);
    } else if (decoded.kind === "message") {
      this.#message(link, decoded.message, text.length, now);
    } else if (decoded.kind === "unknown") {
      this.#context.ignore("a message of unknown type");
      this.#receiver.receiveUnknown(link, decoded.requestId, decoded.seq);
    } else {
      this.#connection.violated(link, decoded.reason, now); // PROTOCOL 4.3.14
    }
  }

  #message(link: Link, message: ServerMessage, size: number, now: number): void {
    switch (message.type) {
      case "ping": {
        const { nonce } = message;
        const pong = { type: "pong", ...(nonce !== undefined && { nonce }) } as const;
        // PROTOCOL 4.7.1. Not by `encode`, which throws for a nonce that is not Unicode.
        this.#context.send(link, JSON.stringify(pong));
        return;
      }
      case "pong":
        return;
      case "welcome":
        this.#context.ignore("a second welcome");
        return;
      case "refreshed":
        this.#connection.refreshed(link, message, now);
        return;
      case "goaway":
        this.#connection.goaway(link, message, now);
        return;
      case "announcement": {
        const announcement: Announcement = announcementFrom(message);
        this.#context.effects.push({ do: "announce", announcement });
        return;
      }
      case "error":
        if (message.seq === undefined && message.reply_to === "refresh") {
          this.#connection.refreshRefused(link, message.error, now);
          return;
        }
    }
    const violation = this.#receiver.receive(link, message, size, now);
    if (violation !== undefined) this.#connection.violated(link, violation, now);
  }
}
