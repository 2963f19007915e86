// SPDX-License-Identifier: Apache-2.0
// A world in which everything goes wrong: one client, a right server on a bad network, all by chance.
// What the client sends is judged as it arrives, what its iterators give is compared with the logs
// of the server at every step. A run is one seed, and can be repeated.
import { RequestError } from "../../src/errors.js";
import type { Snapshot } from "../../src/events.js";
import { settingsFrom } from "../../src/options.js";
import { Protocol } from "../../src/protocol/protocol.js";
import type { EventReader } from "../../src/protocol/reader.js";
import type { TrackedRequest } from "../../src/protocol/request.js";
import {
  Asked,
  acknowledgment,
  chunk,
  complete,
  failed,
  LIMITS,
  processing,
  progress,
  refusal,
  snapshotMessage,
  type Wire,
  welcomeMessage,
} from "./bench.js";

const MAX_IN_FLIGHT = 3;
const MAX_STEPS_TO_REST = 100_000;

interface Stored {
  readonly log: object[];
  isFinished: boolean;
  isCancelled: boolean;
  version: number;
}

/** A connection: two queues, and what the server knows of it. */
interface Line {
  readonly toServer: Wire[];
  readonly toClient: object[];
  readonly cursors: Map<string, number>;
  readonly unanswered: Set<string>;
  isGoing: boolean; // the client was told to go
}

interface Iteration {
  readonly state: TrackedRequest;
  readonly reader: EventReader;
  readonly speed: number;
  seq: number;
}

export class World {
  readonly #random: () => number;
  readonly #client: Protocol;
  #now = 0;
  #hasTroubles = true;
  readonly #store = new Map<string, Stored>();
  readonly #quick = new Map<string, number>();
  readonly #sent = new Set<string>();
  readonly #lines = new Map<number, Line>();
  readonly #opening = new Set<number>();
  readonly #closing = new Set<number>();
  readonly #states = new Map<string, TrackedRequest>();
  #iterations: Iteration[] = [];
  readonly #questions: { readonly isAnswered: boolean }[] = [];

  constructor(seed: number) {
    this.#random = mulberry32(seed);
    const random = this.#random;
    this.#client = new Protocol(settingsFrom({ token: "t", random, maxIteratorEvents: 2 }));
    this.#client.start();
    this.#do();
  }

  /** Lets everything happen by chance, and then come to rest without troubles. */
  run(steps: number): void {
    for (let step = 0; step < steps; step++) this.#step();
    this.#hasTroubles = false;
    for (let step = 0; !this.#isAtRest; step++) {
      check(step < MAX_STEPS_TO_REST, `no rest: ${this.#unrest}`);
      this.#step();
    }
    this.#checkEnd();
  }

  #step(): void {
    const chance = this.#random();
    if (this.#hasTroubles && chance < 0.06) {
      this.#choose([this.#cut, this.#cut, this.#goaway, this.#close, this.#babble])?.call(this);
    } else if (this.#hasTroubles && chance < 0.25) {
      this.#choose(Object.values(this.#wants))?.();
      this.#do();
    } else if (chance < 0.35) this.#work();
    else if (chance < 0.45) this.#read();
    else if (!this.#carry()) {
      this.#now += this.#choose([10, 500, 5_000]) ?? 0;
      this.#client.handleTimeout(this.#now);
      this.#do();
      this.#read();
      this.#work();
    }
  }

  #do(): void {
    for (let effects = this.#client.takeEffects(); effects.length > 0; ) {
      for (const effect of effects) {
        if (effect.do === "token") this.#client.handleToken(effect.link, "t", this.#now);
        else if (effect.do === "open") {
          check(
            [...this.#lines.values()].every(({ isGoing }) => isGoing),
            "two connections",
          );
          check(this.#opening.size === 0, "two sockets that open");
          this.#opening.add(effect.link);
        } else if (effect.do === "close") this.#closing.add(effect.link);
        else if (effect.do === "cut") this.#end(effect.link, 1006);
        else if (effect.do === "send") {
          const line = this.#lines.get(effect.link);
          const message: Wire = JSON.parse(effect.text);
          check(line !== undefined, "sent where there is no socket");
          this.#judge(line, message);
          line.toServer.push(message);
        }
      }
      effects = this.#client.takeEffects();
    }
  }

  /** What no client may send, whatever has happened. */
  #judge(line: Line, { type, id, request_id: requestId, resend = false }: Wire): void {
    if (line.isGoing) check(["cancel", "pong"].includes(type), `${type} after goaway`);
    if (type === "request") {
      check(resend === this.#sent.has(String(id)), "resend is wrong");
      for (const other of this.#lines.values()) {
        check(!other.unanswered.has(String(id)), "sent while it is unanswered");
      }
      this.#sent.add(String(id));
      line.unanswered.add(String(id));
    } else if (type === "attach") {
      check(!line.unanswered.has(String(requestId)), "attach before the answer");
    }
  }

  // The network.

  /** Carries one message, opens or closes one socket; false if there is nothing. */
  #carry(): boolean {
    const lines = [...this.#lines];
    const doing = this.#choose([
      ...lines
        .filter(([, line]) => line.toServer.length)
        .map(
          ([, line]) =>
            () =>
              this.#serve(line),
        ),
      ...lines
        .filter(([, line]) => line.toClient.length)
        .map(
          ([link]) =>
            () =>
              this.#hand(link),
        ),
      ...lines
        .filter(([, line]) => this.#behind(line).length)
        .map(
          ([, line]) =>
            () =>
              this.#tell(line),
        ),
      ...[...this.#opening].map((link) => () => this.#open(link)),
      ...[...this.#closing].map((link) => () => this.#end(link, 1000)),
    ]);
    doing?.();
    this.#do();
    return doing !== undefined;
  }

  #open(link: number): void {
    this.#opening.delete(link);
    if (this.#hasTroubles && this.#random() < 0.2) {
      this.#client.handleClosed(link, 1006, "", this.#now);
      return;
    }
    this.#lines.set(link, {
      toServer: [],
      toClient: [],
      cursors: new Map(),
      unanswered: new Set(),
      isGoing: false,
    });
    this.#client.handleOpened(link, this.#now);
  }

  #end(link: number, code: number): void {
    this.#closing.delete(link);
    this.#opening.delete(link);
    this.#lines.delete(link);
    this.#client.handleClosed(link, code, "", this.#now);
  }

  #hand(link: number): void {
    const line = this.#lines.get(link);
    const message = line?.toClient.shift() as (Wire & { reply_to?: string }) | undefined;
    if (line === undefined || message === undefined) return;
    if (message.type === "goaway") line.isGoing = true;
    const isAnswer = ["response", "acknowledgment"].includes(message.type);
    if (isAnswer || message.reply_to === "request")
      line.unanswered.delete(String(message.request_id));
    this.#client.handleText(link, JSON.stringify(message), this.#now);
  }

  #lose(code: number): void {
    const link = this.#choose([...this.#lines.keys()].filter((one) => !this.#closing.has(one)));
    if (link !== undefined) this.#end(link, code);
    this.#do();
  }

  #cut(): void {
    this.#lose(1006);
  }

  #close(): void {
    this.#lose(this.#choose([1001, 1012, 1013, 4408]) ?? 1006);
  }

  #goaway(): void {
    const newest = this.#lines.get(Math.max(...this.#lines.keys()));
    const wait = this.#choose([0, 300]);
    newest?.toClient.push({ type: "goaway", reason: "", reconnect_after_ms: wait });
  }

  /** The server breaks the protocol. */
  #babble(): void {
    const line = this.#choose([...this.#lines.values()]);
    line?.toClient.push(this.#choose([{}, { type: "chunk" }, { type: "hint" }, [7]]) ?? {});
  }

  // The server.

  #serve(line: Line): void {
    const message = line.toServer.shift();
    if (message === undefined) return;
    const id = String(message.request_id ?? message.id);
    const isRefused = this.#hasTroubles && this.#random() < 0.05;
    if (message.type === "hello") {
      line.toClient.push(welcomeMessage({ limits: { ...LIMITS, max_in_flight: MAX_IN_FLIGHT } }));
    } else if (message.type === "detach") line.cursors.delete(id);
    else if (["request", "attach", "cancel"].includes(message.type) && isRefused) {
      line.toClient.push(refusal(message.type, id, "UNAVAILABLE", { retryable: true }));
    } else if (message.type === "request") this.#serveRequest(line, id, message);
    else if (message.type === "attach") this.#serveAttach(line, id, message);
    else if (message.type === "cancel") this.#serveCancel(line, id);
  }

  #serveRequest(line: Line, id: string, { action, resend }: Wire & { action?: string }): void {
    const stored = this.#store.get(id);
    if (stored === undefined && action === "quick" && !resend) {
      this.#quick.set(id, (this.#quick.get(id) ?? 0) + 1);
      line.toClient.push({ type: "response", request_id: id, result: id });
      return;
    }
    if (stored === undefined) {
      const running = [...this.#store.values()].filter(({ isFinished }) => !isFinished);
      check(running.length < MAX_IN_FLIGHT, "over max_in_flight");
      this.#store.set(id, {
        log: [acknowledgment(id)],
        isFinished: false,
        isCancelled: false,
        version: 0,
      });
    }
    line.toClient.push(acknowledgment(id, stored && { duplicate: true }));
    line.cursors.set(id, 1);
  }

  #serveAttach(line: Line, id: string, { after_seq: after, follow = true }: Wire): void {
    const stored = this.#store.get(id);
    if (stored === undefined || Number(after) > stored.log.length) {
      line.toClient.push(refusal("attach", id, stored ? "CONFLICT" : "NOT_FOUND"));
      return;
    }
    line.toClient.push(this.#snapshot(id, stored, "attach"));
    line.cursors.delete(id);
    if (follow) line.cursors.set(id, Number(after));
    else line.toClient.push(...stored.log.slice(Number(after)));
  }

  #serveCancel(line: Line, id: string): void {
    const stored = this.#store.get(id);
    if (stored === undefined) line.toClient.push(refusal("cancel", id, "NOT_FOUND"));
    else {
      stored.isCancelled = true;
      line.toClient.push(this.#snapshot(id, stored, "cancel"));
    }
  }

  #snapshot(id: string, { log, isFinished }: Stored, replyTo: string): object {
    const status = isFinished ? "completed" : "processing";
    return snapshotMessage(id, { status, last_seq: log.length }, replyTo);
  }

  #behind({ cursors }: Line): [string, number][] {
    return [...cursors].filter(([id, at]) => at < (this.#store.get(id)?.log.length ?? 0));
  }

  /** Sends the next event of a log; by chance twice, or not at all, or with progress behind it. */
  #tell(line: Line): void {
    const [id, at] = this.#choose(this.#behind(line)) ?? ["", 0];
    const stored = this.#store.get(id);
    const event = stored?.log[at];
    if (stored === undefined || event === undefined) return;
    const chance = this.#hasTroubles ? this.#random() : 1;
    if (chance >= 0.03) line.toClient.push(event);
    if (chance < 0.06) line.toClient.push(event);
    line.cursors.set(id, at + 1);
    if (stored.isFinished && at + 1 === stored.log.length) line.cursors.delete(id);
    else if (this.#random() < 0.2) line.toClient.push(progress(id, ++stored.version));
  }

  /** A worker does one thing for one request. */
  #work(): void {
    const running = [...this.#store].filter(([, { isFinished }]) => !isFinished);
    const [id, stored] = this.#choose(running) ?? [];
    if (id === undefined || stored === undefined) return;
    const seq = stored.log.length + 1;
    stored.isFinished = stored.isCancelled || this.#random() < 0.06;
    if (stored.isCancelled) stored.log.push(failed(id, seq, "CANCELLED"));
    else if (stored.isFinished) stored.log.push(complete(id, seq, id));
    else stored.log.push(seq === 2 ? processing(id, seq) : chunk(id, seq));
  }

  // The application.

  readonly #wants = {
    submit: () => {
      const id = `r${this.#states.size}`;
      const action = this.#choose(["work", "work", "quick"]) ?? "";
      this.#states.set(id, this.#client.submit({ type: "request", id, action }, true, this.#now));
      if (this.#random() < 0.8) this.#iterate(id);
    },
    attach: () => {
      const id = this.#choose([...this.#store.keys()]);
      if (id !== undefined) this.#states.set(id, this.#client.attach(id, this.#now));
    },
    iterate: () => this.#iterate(this.#choose([...this.#states.keys()])),
    leave: () => {
      const iteration = this.#choose(this.#iterations);
      if (iteration === undefined) return;
      this.#iterations = this.#iterations.filter((one) => one !== iteration);
      this.#client.closeReader(iteration.state, iteration.reader, this.#now);
    },
    letGoAndComeBack: () => {
      const state = this.#choose([...this.#states.values()]);
      if (state === undefined || state.handles === 0 || state.phase !== "stored") return;
      state.handles -= 1;
      this.#client.touch(state, this.#now);
      this.#do();
      this.#states.set(state.id, this.#client.attach(state.id, this.#now));
    },
    cancel: () => {
      const state = this.#choose([...this.#states.values()]);
      if (state === undefined || this.#random() > 0.3) return;
      const asked = new Asked<void>();
      this.#questions.push(asked);
      this.#client.cancel(state, undefined, asked, this.#now);
    },
    snapshot: () => {
      const state = this.#choose([...this.#states.values()]);
      if (state === undefined) return;
      const asked = new Asked<Snapshot>();
      this.#questions.push(asked);
      this.#client.snapshot(this.#client.revive(state), asked, this.#now);
    },
    wait: () => {
      const state = this.#choose([...this.#states.values()]);
      if (state === undefined) return;
      state.waiters += 1;
      this.#client.touch(state, this.#now);
    },
  };

  #iterate(id: string | undefined): void {
    const known = id === undefined ? undefined : this.#states.get(id);
    if (known === undefined) return;
    const state = this.#client.revive(known);
    const reader = this.#client.openReader(state, undefined, this.#now);
    this.#iterations.push({ state, reader, speed: this.#choose([1, 0.3, 0.02]) ?? 1, seq: 0 });
  }

  /** The iterations take what has arrived: each event is the next one, as it was stored. */
  #read(): void {
    for (const iteration of this.#iterations) {
      if (this.#hasTroubles && this.#random() > iteration.speed) continue;
      const { reader, state } = iteration;
      const event = reader.pop();
      this.#client.touch(state, this.#now);
      this.#do();
      if (event === undefined || event.kind === "progress") continue;
      iteration.seq += 1;
      check(event.seq === iteration.seq, `${event.seq} of ${state.id} instead of ${iteration.seq}`);
      const stored = this.#store.get(state.id)?.log[event.seq - 1] as Wire | undefined;
      check((stored?.type === "chunk") === (event.kind === "chunk"), "another kind of event");
    }
  }

  // The end.

  get #unrest(): string {
    const open = [...this.#states.values()].filter(({ outcome }) => outcome === undefined);
    const states = open.map(({ id, phase }) => `${id} is ${phase}`);
    const reading = this.#iterations
      .filter(({ reader }) => !reader.isOver)
      .map(({ state, seq }) => `an iteration of ${state.id} is at ${seq}`);
    const asking = this.#questions.filter(({ isAnswered }) => !isAnswered).map(() => "a question");
    const { state } = this.#client.state;
    return [...states, ...reading, ...asking, ...(state === "ready" ? [] : [state])].join(", ");
  }

  get #isAtRest(): boolean {
    return this.#unrest === "" && this.#iterations.every(({ reader }) => reader.hasNews);
  }

  #checkEnd(): void {
    for (const [id, { outcome }] of this.#states) {
      const error = outcome?.error;
      const stored = this.#store.get(id);
      if (error === undefined) check(outcome?.result === id, `${id} has another's result`);
      else if (!(error instanceof RequestError)) throw error;
      else if (error.code === "CANCELLED") {
        check(error.origin === "client" ? !this.#sent.has(id) : stored?.isCancelled === true, id);
      } else check(stored === undefined, `${id} ended with ${error.code} although it is stored`);
    }
    for (const { state, reader, seq } of this.#iterations) {
      while (reader.pop() !== undefined);
      if (reader.error !== undefined || seq === 0) continue;
      const length = this.#store.get(state.id)?.log.length ?? 0;
      check(reader.position === length, `an iteration of ${state.id} ended at ${reader.position}`);
    }
    for (const [id, count] of this.#quick) check(count === 1, `${id} ran twice without resend`);
  }

  #choose<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.#random() * items.length)];
  }
}

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** A small random generator that begins with a seed. */
function mulberry32(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
