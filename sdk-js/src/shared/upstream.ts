// SPDX-License-Identifier: Apache-2.0
import { parseTimestamp } from "../events.js";
import { CLOSE_CODES } from "../generated/codes.js";
import type * as wire from "../generated/messages.js";
import type { Clock } from "../options.js";
import { Heartbeat } from "../protocol/heartbeat.js";
import { TokenBucket } from "../protocol/limits.js";
import { Transport, type WebSocketConstructor } from "../transport.js";
import { Answers, type Asked } from "./answers.js";
import { Streams } from "./streams.js";
import type { Tab } from "./tab.js";

const SUBPROTOCOL = "longcall.v1";
const NORMAL = 1000;
const LOST = 1006;
const { TOO_SLOW, RATE_LIMITED } = CLOSE_CODES;

/** The bounds of the wait before a refused request is sent again, if the server names none. */
const RETRY_MS = { first: 500, last: 20_000 };

/** What an upstream needs of the hub. */
export interface Surroundings {
  readonly WebSocket: WebSocketConstructor;
  readonly clock: Clock;
  readonly random: () => number;
  onEnded(upstream: Upstream): void;
}

/** The messages of both sides, as far as the hub looks into them. */
type Message = {
  readonly type: string;
  readonly id?: string;
  readonly request_id?: string;
  readonly seq?: number;
  readonly reply_to?: string;
  readonly duplicate?: boolean;
  readonly error?: wire.ErrorInfo;
  readonly request?: wire.RequestSummary;
};

/**
 * One connection to a server, for all tabs of one owner. It keeps nothing: when it ends, the tabs'
 * connections end with it, and the client of each tab goes on where it was on the next one.
 */
export class Upstream {
  /** The token in force. */
  token: string | undefined;
  readonly url: string;
  /** True when it is welcomed; false when it could not be. */
  readonly ready: Promise<boolean>;
  isOpen = true;
  /** The server asked to move: nobody new may come. */
  isDraining = false;

  readonly #surroundings: Surroundings;
  readonly #transport: Transport;
  readonly #tabs = new Set<Tab>();
  readonly #answers = new Answers();
  readonly #streams: Streams;
  readonly #held = new Map<string, (() => void)[]>(); // until a request is answered
  #refreshes: { readonly token: string; tell(answer: string, isTaken: boolean): void }[] = [];
  #pingers: Tab[] = [];
  #lastSender: Tab | undefined;
  #queue: { readonly tab: Tab; readonly text: string }[] = [];
  #welcome: wire.WelcomeMessage | undefined;
  #terms = { expires_at: "", server_time: "", at: 0 };
  #bucket: TokenBucket | undefined;
  #heartbeat: Heartbeat | undefined;
  #lists = 0;
  readonly #timers = new Map<string, unknown>();
  #becomeReady: (isReady: boolean) => void = () => {};

  /** @param hello - of the tab that is the first. */
  constructor(url: string, hello: wire.HelloMessage, surroundings: Surroundings) {
    this.url = url;
    this.token = hello.token;
    this.#surroundings = surroundings;
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
    this.#streams = new Streams(
      (tab, id, position) => this.#attach({ tab, after: position, isFollowing: true }, id, true),
      (id) => this.#sendNow({ type: "detach", request_id: id }),
    );
    this.#transport = new Transport(surroundings.WebSocket, url, SUBPROTOCOL, {
      onOpened: () => this.#transport.send(JSON.stringify(hello)),
      onText: (text) => this.#receive(text),
      onBinary: () => this.#lose(CLOSE_CODES.BINARY_FRAME.code, "a binary message"),
      onClosed: (code, reason) => this.#ended(code, reason),
    });
  }

  /** A tab that waits for the welcome, or is welcomed. */
  join(tab: Tab): void {
    this.#tabs.add(tab);
    if (this.#welcome === undefined) return;
    const { expires_at, server_time, at } = this.#terms;
    const now = parseTimestamp(server_time) + this.#now - at;
    const times = { expires_at, server_time: new Date(now).toISOString() };
    tab.send(JSON.stringify({ ...this.#welcome, ...times }));
  }

  leave(tab: Tab): void {
    if (!this.#tabs.delete(tab)) return;
    this.#streams.leave(tab);
    if (this.#tabs.size > 0) return;
    this.#transport.close(NORMAL, "no tab is left");
    this.#ended(NORMAL, "");
  }

  /** Asks the server whether a token stands for the same owner. PROTOCOL 3.6.3. */
  isSameOwner(token: string): Promise<boolean> {
    return new Promise((resolve) => {
      this.#refresh(token, (_answer, isTaken) => resolve(isTaken));
    });
  }

  /** A tab says something. */
  take(tab: Tab, text: string): void {
    const message = JSON.parse(text) as wire.ClientMessage;
    switch (message.type) {
      case "request":
        this.#streams.pause(message.id, tab);
        this.#ask("request", message.id, { tab, text }, text);
        return;
      case "attach": {
        const { request_id: id, after_seq: after, follow = true } = message;
        this.#attach({ tab, after, isFollowing: follow }, id, false);
        return;
      }
      case "detach":
        this.#answers.unfollow(message.request_id, tab);
        this.#streams.pause(message.request_id, tab);
        this.#trim(message.request_id);
        return;
      case "cancel":
        this.#ask("cancel", message.request_id, { tab }, text);
        return;
      case "list": {
        const id = `list-${++this.#lists}`; // each tab counts its own
        this.#ask("list", id, { tab, id: message.id }, JSON.stringify({ ...message, id }));
        return;
      }
      case "refresh":
        this.#refresh(message.token, (answer, isTaken) => isTaken || tab.send(answer));
        return;
      case "ping":
        this.#probe(tab);
    }
  }

  /** A tab has taken what was on its way. */
  catchUp(tab: Tab): void {
    this.#streams.catchUp(tab);
  }

  #ask(replyTo: string, id: string, asked: Asked, text: string): void {
    this.#answers.expect(replyTo, id, asked);
    this.#send(asked.tab, text);
  }

  #attach(asked: Asked & { readonly after: number }, id: string, isOurs: boolean): void {
    if (this.#answers.isAwaited("request", id)) {
      // PROTOCOL 4.5.9
      const held = this.#held.get(id) ?? [];
      this.#held.set(id, [...held, () => asked.tab.isOpen && this.#attach(asked, id, isOurs)]);
      return;
    }
    if (!isOurs) this.#streams.pause(id, asked.tab);
    // From the place of whoever is least far: each of them gets only what is behind its own.
    const others = [this.#streams.lowest(id), this.#answers.lowest(id)];
    const isShared = others.some((position) => position !== undefined);
    const after_seq = Math.min(asked.after, ...others.filter((position) => position !== undefined));
    const message: wire.AttachMessage = { type: "attach", request_id: id, after_seq };
    if (!(asked.isFollowing || isShared)) message.follow = false;
    this.#ask("attach", id, { ...asked, from: after_seq, isOurs }, JSON.stringify(message));
  }

  #refresh(token: string, tell: (answer: string, isTaken: boolean) => void): void {
    this.#refreshes.push({ token, tell });
    if (this.#refreshes.length === 1) this.#sendRefresh();
  }

  /** One at a time: answers name no question. */
  #sendRefresh(): void {
    const [refresh] = this.#refreshes;
    if (refresh) this.#sendNow({ type: "refresh", token: refresh.token });
  }

  #refreshed(text: string, token: boolean): void {
    const refresh = this.#refreshes.shift();
    if (token) this.token = refresh?.token;
    refresh?.tell(text, token);
    this.#sendRefresh();
  }

  /** A tab wants a sign of life: of the server, not of the hub. */
  #probe(tab: Tab): void {
    this.#pingers.push(tab);
    if (this.#pingers.length > 1) return;
    this.#sendNow({ type: "ping" });
    this.#heartbeat?.probed(this.#now);
    this.#beat();
  }

  #sendNow(message: wire.ClientMessage): void {
    this.#bucket?.force(this.#now);
    this.#transport.send(JSON.stringify(message));
  }

  #send(tab: Tab, text: string): void {
    this.#queue.push({ tab, text });
    tab.queued += 1;
    const most = this.#welcome?.limits.message_burst ?? 0;
    if (tab.queued > most) tab.close(RATE_LIMITED.code, "too much waits to be sent");
    this.#pump();
  }

  /** Sends what the server's limits let through: they are the connection's, not a tab's. */
  #pump(): void {
    const bucket = this.#bucket;
    while (bucket !== undefined && this.#queue.length > 0) {
      if (!bucket.take(this.#now)) {
        this.#after("pump", bucket.readyAt(this.#now) - this.#now, () => this.#pump());
        return;
      }
      const next = this.#queue.shift();
      if (next === undefined) return;
      next.tab.queued -= 1;
      this.#lastSender = next.tab;
      this.#transport.send(next.text);
    }
  }

  #receive(text: string): void {
    if (!this.isOpen) return;
    this.#heartbeat?.heard(this.#now);
    let message: Message;
    try {
      message = Object(JSON.parse(text)) as Message;
    } catch {
      message = { type: "" };
    }
    const { type, request_id: id, seq } = message;
    if (type === "welcome") this.#welcomed(JSON.parse(text));
    else if (type === "ping") this.#pinged(text);
    else if (type === "pong") this.#ponged(text);
    else if (type === "refreshed") this.#termsChanged(text);
    else if (type === "error" && message.reply_to === "refresh") this.#refreshed(text, false);
    else if (type === "goaway") {
      this.isDraining = true;
      this.#tell(text);
    } else if (type === "listing") {
      const asked = this.#answers.take("list", message.id);
      asked?.tab.send(JSON.stringify({ ...message, id: asked.id }));
    } else if (id === undefined) {
      this.#withoutRequest(message, text);
    } else if (type === "acknowledgment") this.#acknowledged(id, message, text);
    else if (type === "response") this.#answered(id)?.tab.send(text);
    else if (type === "snapshot") this.#snapshot(id, message, text);
    else if (type === "progress") this.#streams.progress(id, text);
    else if (seq === undefined) this.#refused(id, message, text);
    else this.#streams.event(id, seq, text, type === "complete" || type === "error");
  }

  #welcomed(message: wire.WelcomeMessage): void {
    if (this.#welcome !== undefined) return;
    const { limits, heartbeat } = message;
    const isOurs = heartbeat.from === "client";
    // Where the client's side pings, the hub does: once, however many tabs there are.
    this.#welcome = { ...message, heartbeat: { ...heartbeat, from: "server" } };
    this.#terms = { ...message, at: this.#now };
    this.#bucket = new TokenBucket(limits.message_burst, limits.messages_per_minute, this.#now);
    this.#heartbeat = new Heartbeat(heartbeat.interval_ms, isOurs, this.#now);
    this.#beat();
    this.#tell(JSON.stringify(this.#welcome));
    this.#becomeReady(true);
  }

  #termsChanged(text: string): void {
    const message = JSON.parse(text) as wire.RefreshedMessage;
    this.#terms = { ...message, at: this.#now };
    this.#tell(text); // nobody else needs to refresh now
    this.#refreshed(text, true);
  }

  #pinged(text: string): void {
    this.#sendNow({ ...JSON.parse(text), type: "pong" });
    this.#pingTabs();
  }

  #ponged(text: string): void {
    const pingers = this.#pingers.splice(0);
    for (const tab of pingers) tab.send(text);
    if (pingers.length === 0) this.#pingTabs(); // it answers the hub
  }

  /** The server lives; do the tabs? PROTOCOL 6.7.5. */
  #pingTabs(): void {
    for (const tab of [...this.#tabs]) {
      if (!tab.ping()) tab.close(TOO_SLOW.code, "the tab does not answer");
    }
  }

  #withoutRequest(message: Message, text: string): void {
    const asked = message.reply_to === "list" && this.#answers.take("list", message.id);
    if (asked) asked.tab.send(JSON.stringify({ ...message, id: asked.id }));
    else this.#tell(text);
  }

  /** Event 1: the answer to a request, or the first one that is read again. */
  #acknowledged(id: string, message: Message, text: string): void {
    const isReplay = this.#streams.isAtStart(id) && message.duplicate !== true;
    const asked = isReplay ? undefined : this.#answered(id);
    if (asked !== undefined) {
      // PROTOCOL 10.24: from here on the connection follows as after `attach` at 0.
      this.#streams.moved(id, 0);
      asked.tab.send(text);
      if (asked.tab.isOpen) this.#streams.follow(id, asked.tab, 1);
    }
    this.#streams.event(id, 1, text, false);
    this.#trim(id);
  }

  #answered(id: string): Asked | undefined {
    const asked = this.#answers.take("request", id);
    if (!this.#answers.isAwaited("request", id)) {
      const held = this.#held.get(id) ?? [];
      this.#held.delete(id);
      for (const attach of held) attach();
    }
    return asked;
  }

  #snapshot(id: string, message: Message, text: string): void {
    const replyTo = message.reply_to ?? "";
    const asked = this.#answers.take(replyTo, id);
    if (replyTo === "attach" && asked?.from !== undefined) {
      this.#streams.moved(id, asked.from);
      const { last_seq = 0 } = message.request ?? {};
      const { tab, after = 0 } = asked;
      if (after > last_seq) {
        tab.send(beyond(id, last_seq));
      } else {
        if (!asked.isOurs) tab.send(text);
        if (asked.isFollowing && tab.isOpen) this.#streams.follow(id, tab, after);
      }
      this.#trim(id);
    } else {
      asked?.tab.send(text);
    }
  }

  /** PROTOCOL 4.3.2: it concerns the message named by `reply_to` alone. */
  #refused(id: string, message: Message, text: string): void {
    const { reply_to: replyTo = "", error } = message;
    if (replyTo === "request") {
      const asked = this.#answered(id);
      const isOver = error?.code === "RESOURCE_EXHAUSTED" || error?.code === "RATE_LIMITED";
      // A tab keeps to the limits by itself, and cannot know of the other tabs.
      if (asked?.text !== undefined && error?.retryable && isOver) {
        this.#askAgain(id, asked, error);
      } else {
        asked?.tab.send(text);
      }
      return;
    }
    const asked = this.#answers.take(replyTo, id);
    if (asked !== undefined) {
      if (asked.isOurs && error?.retryable) asked.tab.close(LOST, "the log cannot be read now");
      else asked.tab.send(text);
      if (replyTo === "attach") this.#streams.pause(id, asked.tab);
      this.#trim(id);
    } else if (replyTo === "attach") {
      for (const tab of this.#streams.end(id)) tab.send(text); // PROTOCOL 10.33
    }
  }

  #askAgain(id: string, asked: Asked, { retry_after_ms: told }: wire.ErrorInfo): void {
    const { tab, text = "", tries = 0 } = asked;
    const bound = Math.min(RETRY_MS.last, RETRY_MS.first * 2 ** tries);
    const waitMs = told ?? this.#surroundings.random() * bound;
    const again = JSON.stringify({ ...JSON.parse(text), resend: true }); // PROTOCOL 10.6
    this.#after(`again ${id}`, waitMs, () => {
      if (tab.isOpen) this.#ask("request", id, { tab, text: again, tries: tries + 1 }, again);
    });
  }

  #trim(id: string): void {
    const isAwaited = ["attach", "request"].some((type) => this.#answers.isAwaited(type, id));
    this.#streams.trim(id, isAwaited);
  }

  #tell(text: string): void {
    for (const tab of this.#tabs) tab.send(text);
  }

  /** Looks for signs of life of the server, as a client alone does. PROTOCOL 6.7. */
  #beat(): void {
    const heartbeat = this.#heartbeat;
    if (heartbeat === undefined) return;
    this.#after("beat", heartbeat.nextLook(this.#now, isHidden()) - this.#now, () => {
      const seen = heartbeat.look(this.#now, isHidden());
      if (seen === "dead") {
        this.#lose(TOO_SLOW.code, "nothing was heard"); // PROTOCOL 6.7.6
        return;
      }
      if (seen === "probe") heartbeat.probed(this.#now);
      if (seen !== undefined) this.#sendNow({ type: "ping" });
      this.#beat();
    });
  }

  /** Leaves the server; for the tabs that is a lost connection, whatever the server is told. */
  #lose(code: number, reason: string): void {
    this.#transport.close(code, reason);
    this.#ended(LOST, reason);
  }

  #ended(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const name of [...this.#timers.keys()]) this.#cancelTimer(name);
    this.#becomeReady(false);
    for (const { tell } of this.#refreshes.splice(0)) tell("", false);
    this.#surroundings.onEnded(this);
    const isTooBig = code === CLOSE_CODES.MESSAGE_TOO_BIG.code; // one tab's fault
    for (const tab of [...this.#tabs]) {
      tab.close(isTooBig && tab !== this.#lastSender ? LOST : code, reason);
    }
    this.#tabs.clear();
  }

  get #now(): number {
    return this.#surroundings.clock.now();
  }

  #after(name: string, ms: number, action: () => void): void {
    this.#cancelTimer(name);
    const run = () => {
      this.#timers.delete(name);
      action();
    };
    this.#timers.set(name, this.#surroundings.clock.setTimeout(run, Math.max(0, ms)));
  }

  #cancelTimer(name: string): void {
    this.#surroundings.clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

/** True in a page that is hidden, whose timers come when they like; a worker has none. */
function isHidden(): boolean {
  const { document } = globalThis as { readonly document?: { readonly visibilityState: string } };
  return document?.visibilityState === "hidden";
}

/** The refusal of an `attach` whose place the server's log does not have. PROTOCOL 10.29. */
function beyond(id: string, last_seq: number): string {
  const error = { code: "CONFLICT", message: "beyond the log", retryable: false };
  const message = { type: "error", request_id: id, reply_to: "attach" };
  return JSON.stringify({ ...message, error: { ...error, details: { last_seq } } });
}
