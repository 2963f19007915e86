// SPDX-License-Identifier: Apache-2.0
import { canonicalJson } from "../codec.js";
import { CLOSE_CODES, type KnownErrorCode } from "../generated/codes.js";
import type * as wire from "../generated/messages.js";
import { checkClientMessage, isClientType } from "../generated/validators.js";
import { checked, errorFrom, type Failure, timestamp } from "./messages.js";
import type { InMemoryRequest, LogEvent, Owned } from "./request.js";
import type { Identity, InMemoryServer } from "./server.js";
import type { Pipe, PipeEvents } from "./socket.js";

const { PROTOCOL_ERROR, UNAUTHORIZED, TOO_SLOW } = CLOSE_CODES;

/** A place in one log. PROTOCOL 10.25. */
interface Cursor {
  position: number;
  /** Where a read that does not follow ends. */
  readonly until: number;
}

/** The server's side of one connection. */
export class Session implements PipeEvents {
  /** Who is connected, once welcomed. */
  identity: Identity | undefined;
  isOpen = true;
  readonly #server: InMemoryServer;
  readonly #pipe: Pipe;
  readonly #cursors = new Map<string, Cursor>();
  readonly #timers: { ping?: unknown; expiry?: unknown } = {};
  #unansweredPings = 0;

  constructor(server: InMemoryServer, pipe: Pipe) {
    this.#server = server;
    this.#pipe = pipe;
  }

  /** Of the logs of this owner, those that this connection follows. */
  get followed(): string[] {
    return [...this.#cursors.keys()];
  }

  onText(text: string): void {
    if (!this.isOpen || this.#server.isStalled) return;
    this.#unansweredPings = 0;
    const message = this.#parse(text);
    if (message === undefined || !this.isOpen) return;
    this.#server.received.push(message);
    if (this.identity === undefined) this.#greet(message);
    else this.#take(message, this.identity.principal);
  }

  onClosed(): void {
    this.#over();
  }

  /** Closes; without a code the connection is lost without a word. */
  close(code?: number, reason?: string): void {
    if (!this.isOpen) return;
    this.#over();
    this.#pipe.close(code, reason);
  }

  send(message: wire.ServerMessage): void {
    if (!this.isOpen || this.#server.isStalled) return;
    this.#pipe.send(JSON.stringify(checked(message)));
  }

  /** The newest event of a log. */
  onEvent(request: Owned, event: LogEvent): void {
    if (this.#isOwner(request) && event.seq !== undefined) this.#deliver(request);
  }

  onProgress(request: Owned, progress: wire.ProgressMessage): void {
    const cursor = this.#isOwner(request) ? this.#cursors.get(request.id) : undefined;
    if (cursor?.until === Number.POSITIVE_INFINITY) this.send(progress);
  }

  onAnswer(request: Owned, answer: wire.ResponseMessage | wire.ErrorMessage): void {
    if (this.#isOwner(request) && this.#cursors.delete(request.id)) this.send(answer);
  }

  /** Reads on where the time stood still. */
  catchUp(): void {
    for (const id of this.followed) {
      const request = this.#find(id);
      if (request) this.#deliver(request);
    }
  }

  #parse(text: string): wire.ClientMessage | undefined {
    let message: { type?: unknown; id?: unknown; request_id?: unknown } = {};
    try {
      message = Object(JSON.parse(text));
    } catch {
      // It has no type either.
    }
    const { type } = message;
    if (typeof type !== "string") {
      this.#invalid(undefined, message, "the message has no type");
    } else if (!isClientType(type)) {
      this.#refuse(type, message, "UNSUPPORTED_TYPE", `there is no ${type}`);
    } else {
      const defect = checkClientMessage({ ...message, type });
      if (defect === undefined) return message as wire.ClientMessage;
      this.#invalid(type, message, defect.rule, defect.pointer);
    }
    return undefined;
  }

  #invalid(
    type: string | undefined,
    message: { id?: unknown; request_id?: unknown },
    rule: string,
    pointer = "",
  ): void {
    if (this.identity === undefined) this.close(PROTOCOL_ERROR.code, "not a hello");
    else this.#refuse(type, message, "VALIDATION_ERROR", rule, { details: { pointer } });
  }

  #refuse(
    replyTo: string | undefined,
    { id, request_id }: { id?: unknown; request_id?: unknown },
    code: KnownErrorCode,
    message: string,
    of: Failure = {},
  ): void {
    const name = replyTo === "request" ? id : request_id;
    this.send({
      type: "error",
      ...(typeof name === "string" && { request_id: name }),
      ...(replyTo === "list" && typeof id === "string" && { id }),
      ...(replyTo !== undefined && { reply_to: replyTo }),
      error: errorFrom(code, message, of),
    });
  }

  // PROTOCOL 4.2.
  #greet(message: wire.ClientMessage): void {
    if (message.type !== "hello") {
      this.close(PROTOCOL_ERROR.code, "not a hello");
      return;
    }
    const identity = this.#server.identify(message.token, this.#pipe.url);
    if (typeof identity === "number") {
      this.close(identity, "refused");
      return;
    }
    this.identity = identity;
    this.send(this.#server.welcome(identity));
    this.#ping();
    this.#expireLater(identity);
  }

  #take(message: wire.ClientMessage, principal: string): void {
    switch (message.type) {
      case "request":
        this.#request(message, principal);
        return;
      case "attach":
        this.#attach(message);
        return;
      case "detach":
        this.#cursors.delete(message.request_id);
        return;
      case "cancel":
        this.#cancel(message);
        return;
      case "list":
        this.#list(message, principal);
        return;
      case "refresh":
        this.#refresh(message, principal);
        return;
      case "ping": {
        const { nonce } = message;
        this.send({ type: "pong", ...(nonce !== undefined && { nonce }) });
        return;
      }
      case "hello":
        this.#refuse("hello", {}, "VALIDATION_ERROR", "a second hello", {
          details: { pointer: "/type" },
        });
    }
  }

  #request(message: wire.RequestMessage, principal: string): void {
    const known = this.#find(message.id);
    if (known === undefined) {
      const refusal = this.#server.admit(message);
      if (refusal) {
        this.#refuse("request", message, refusal.code, refusal.message, refusal);
        return;
      }
      // The connection follows what it submits. PROTOCOL 10.24.
      this.#cursors.set(message.id, { position: 0, until: Number.POSITIVE_INFINITY });
      this.#server.submit(message, principal);
      return;
    }
    if (!isSame(known.message, message)) {
      this.#refuse("request", message, "CONFLICT", "the id stands for another request");
      return;
    }
    known.store(); // PROTOCOL 10.6
    const [first] = known.log;
    this.#cursors.set(message.id, { position: 1, until: Number.POSITIVE_INFINITY });
    if (first) this.send({ ...(first as wire.AcknowledgmentMessage), duplicate: true });
    this.#deliver(known);
  }

  #attach({ request_id, after_seq, follow }: wire.AttachMessage): void {
    const request = this.#find(request_id);
    if (!request?.isStored) {
      this.#refuse("attach", { request_id }, "NOT_FOUND", "there is no such request");
      return;
    }
    const { length } = request.log;
    if (after_seq > length) {
      const details = { last_seq: length }; // PROTOCOL 10.29
      this.#refuse("attach", { request_id }, "CONFLICT", "beyond the log", { details });
      return;
    }
    this.#snapshot(request, "attach");
    const until = follow === false ? length : Number.POSITIVE_INFINITY;
    this.#cursors.set(request_id, { position: after_seq, until });
    this.#deliver(request);
  }

  #cancel({ request_id, reason }: wire.CancelMessage): void {
    const request = this.#find(request_id);
    if (request === undefined) {
      this.#refuse("cancel", { request_id }, "NOT_FOUND", "there is no such request");
      return;
    }
    request.cancel(reason);
    this.#snapshot(request, "cancel");
  }

  #snapshot(request: InMemoryRequest, replyTo: string): void {
    const last = request.isFinished ? request.log.at(-1) : undefined;
    this.send({
      type: "snapshot",
      request_id: request.id,
      reply_to: replyTo,
      request: request.summary(),
      ...(last?.type === "complete" && { result: last.result }),
      ...(last?.type === "error" && { error: last.error }),
    });
  }

  #list(message: wire.ListMessage, principal: string): void {
    const { id, status, action, sub, limit = 50, cursor = "0" } = message;
    if (sub !== undefined) {
      this.#refuse("list", { id }, "FORBIDDEN", "one's own requests only");
      return;
    }
    const start = Number(cursor);
    const found = this.#server.requests
      .filter((request) => request.principal === principal && request.isStored)
      .filter((request) => status === undefined || status.includes(request.status))
      .filter((request) => action === undefined || request.action === action)
      .reverse();
    const requests = found.slice(start, start + limit).map((request) => request.summary());
    const next = start + limit < found.length ? { next_cursor: String(start + limit) } : {};
    this.send({ type: "listing", id, requests, ...next });
  }

  #refresh({ token }: wire.RefreshMessage, principal: string): void {
    const identity = this.#server.identify(token, this.#pipe.url);
    if (typeof identity === "number" || identity.principal !== principal) {
      this.#refuse("refresh", {}, "UNAUTHORIZED", "the token is refused"); // PROTOCOL 3.6.3
      return;
    }
    const { clock } = this.#server;
    const expires_at = timestamp(clock, identity.lifeMs);
    this.send({ type: "refreshed", expires_at, server_time: timestamp(clock) });
    this.#expireLater(identity);
  }

  #deliver(request: Owned): void {
    const cursor = this.#cursors.get(request.id);
    if (cursor === undefined || this.#server.isStalled) return;
    while (cursor.position < Math.min(request.log.length, cursor.until)) {
      const event = request.log[cursor.position];
      cursor.position += 1;
      if (event) this.send(event);
    }
    const isRead = cursor.position >= Math.min(request.log.length, cursor.until);
    if (isRead && (request.isFinished || cursor.until < Number.POSITIVE_INFINITY)) {
      this.#cursors.delete(request.id); // PROTOCOL 4.5.5
    }
  }

  #find(id: string): InMemoryRequest | undefined {
    return this.#server.requests.find((request) => request.id === id && this.#isOwner(request));
  }

  #isOwner(request: Owned): boolean {
    return this.identity?.principal === request.principal;
  }

  // PROTOCOL 6.7.3, 6.7.5.
  #ping(): void {
    const { interval_ms: interval, from } = this.#server.heartbeat;
    if (from !== "server") return;
    this.#timers.ping = this.#server.clock.setTimeout(() => {
      if (this.#unansweredPings >= 2) {
        this.close(TOO_SLOW.code, "two pings were not answered");
        return;
      }
      this.#unansweredPings += 1;
      this.send({ type: "ping" });
      this.#ping();
    }, interval);
  }

  #expireLater({ lifeMs }: Identity): void {
    const { clock } = this.#server;
    clock.clearTimeout(this.#timers.expiry);
    const expire = () => this.close(UNAUTHORIZED.code, "the token has expired"); // PROTOCOL 3.6.5
    this.#timers.expiry = clock.setTimeout(expire, lifeMs);
  }

  #over(): void {
    this.isOpen = false;
    this.#cursors.clear();
    for (const timer of Object.values(this.#timers)) this.#server.clock.clearTimeout(timer);
    this.#server.forget(this);
  }
}

/** PROTOCOL 10.23. */
function isSame(a: wire.RequestMessage, b: wire.RequestMessage): boolean {
  const [one, other] = [a, b].map(({ action, payload = null }) => canonicalJson([action, payload]));
  return one === other;
}
