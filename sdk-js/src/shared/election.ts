// SPDX-License-Identifier: Apache-2.0
// Without a SharedWorker, one of the tabs has the hub: the one that holds a lock of the origin.
import { type Clock, platformClock } from "../options.js";
import { Hub, type HubOptions } from "./hub.js";
import { type Channel, FORMAT, type HubPort, pair, portOf, type TabPort } from "./port.js";

/** How long a leader may take to answer: one that is frozen does not. */
const ANSWER_MS = 5_000;

/** What is needed of Web Locks. */
export interface Locks {
  request(
    name: string,
    options: { readonly steal?: boolean; readonly signal?: AbortSignal },
    callback: () => Promise<void>,
  ): Promise<unknown>;
}

/** What the platform has for tabs that talk to each other. */
export interface TabsPlatform {
  readonly locks: Locks;
  channel(name: string): Channel;
}

/** What tabs tell each other on the channel of the origin. */
type Word =
  /** A tab leads from now on. */
  | readonly [kind: "lead", leader: string]
  /** A tab wants a connection to the hub: by a channel of its own. */
  | readonly [kind: "call", channel: string];

interface Call {
  readonly channel: string;
  /** Who leads, once it has answered. */
  leader: string | undefined;
  /** Stops waiting for the answer. */
  giveUp: () => void;
  readonly onLost: () => void;
}

/** A tab among the tabs of its origin: it leads, or knows who does. */
export class Election {
  readonly #platform: TabsPlatform;
  readonly #hubOptions: HubOptions;
  readonly #clock: Clock;
  readonly #id = crypto.randomUUID();
  readonly #channel: Channel;
  readonly #calls = new Set<Call>();
  /** While this tab leads. */
  #hub: Hub | undefined;
  #resign: (() => void) | undefined;
  #waiting = new AbortController();
  #isOver = false;
  #ledAt = Number.NEGATIVE_INFINITY;
  readonly #pageEvents = new AbortController();

  constructor(platform: TabsPlatform, hubOptions: HubOptions = {}) {
    this.#platform = platform;
    this.#hubOptions = hubOptions;
    this.#clock = hubOptions.clock ?? platformClock();
    this.#channel = platform.channel(FORMAT);
    this.#channel.onmessage = ({ data }: { readonly data: Word }) => this.#hear(data);
    void this.#stand(false);
    this.#watchPage();
  }

  /** True while the hub is here. */
  get isLeader(): boolean {
    return this.#hub !== undefined;
  }

  /** Returns a port to the hub, wherever it is; `onLost` is called when that is gone. */
  async dial(onLost: () => void): Promise<TabPort> {
    if (this.#hub !== undefined) {
      const { tab, hub } = pair();
      this.#hub.add(hub);
      return tab;
    }
    const name = `${FORMAT} ${crypto.randomUUID()}`;
    const call: Call = { channel: name, leader: undefined, giveUp: () => {}, onLost };
    const channel = this.#platform.channel(name);
    this.#calls.add(call);
    const isAnswered = await this.#answered(call, channel);
    if (!isAnswered) {
      this.#calls.delete(call);
      channel.close();
      if (this.#isOver) throw new Error("left");
      // Whoever leads is frozen, or busy for too long: this tab is not. If somebody else came to
      // think so earlier, the hub is there by now.
      const isNew = this.#clock.now() - this.#ledAt < ANSWER_MS;
      if (this.#hub === undefined && !isNew) await this.#stand(true);
      return this.dial(onLost);
    }
    const port = portOf<never, never>(channel) as TabPort;
    return {
      ...port,
      close: () => {
        this.#calls.delete(call);
        port.close();
      },
    };
  }

  /** Leaves the other tabs: another one leads. */
  close(): void {
    this.#isOver = true;
    this.#pageEvents.abort();
    this.#waiting.abort();
    this.#stepDown();
    for (const { giveUp, onLost } of [...this.#calls]) {
      giveUp();
      onLost();
    }
    this.#channel.close();
  }

  /** Waits for an answer of the leader, who may be another one meanwhile. */
  #answered(call: Call, channel: Channel): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => resolve(false), ANSWER_MS);
      call.giveUp = () => {
        this.#clock.clearTimeout(timer);
        resolve(false);
      };
      channel.onmessage = ({ data }: { readonly data: string }) => {
        call.leader = data;
        this.#clock.clearTimeout(timer);
        resolve(true);
      };
      this.#tell(["call", call.channel]);
    });
  }

  /** Waits for the lock, and leads as long as it has it; resolves when it leads or does not. */
  #stand(isStealing: boolean): Promise<void> {
    if (isStealing) this.#waiting.abort(); // else it would wait twice
    this.#waiting = new AbortController();
    const { signal } = this.#waiting;
    let hasLed = false;
    return new Promise((resolve) => {
      this.#platform.locks
        .request(FORMAT, isStealing ? { steal: true } : { signal }, async () => {
          if (this.#isOver || signal.aborted) return;
          hasLed = true;
          const until = this.#lead();
          resolve();
          await until;
        })
        .catch(() => {
          if (hasLed) this.#stepDown(); // stolen; else it was not waited for any more
        })
        .finally(resolve);
    });
  }

  #lead(): Promise<void> {
    this.#hub = new Hub(this.#hubOptions);
    this.#tell(["lead", this.#id]);
    this.#followed(this.#id);
    return new Promise((resolve) => {
      this.#resign = resolve;
    });
  }

  /** The hub moves to another tab; this one stands again when it can. */
  #stepDown(): void {
    const hub = this.#hub;
    this.#hub = undefined;
    hub?.close();
    this.#resign?.();
    this.#resign = undefined;
    if (hub !== undefined && !this.#isOver && !this.#waiting.signal.aborted)
      void this.#stand(false);
  }

  #hear([kind, name]: Word): void {
    if (kind === "lead") {
      this.#followed(name);
    } else if (this.#hub !== undefined) {
      const channel = this.#platform.channel(name);
      const port = portOf(channel) as HubPort;
      this.#hub.add(port);
      channel.postMessage(this.#id);
    }
  }

  /** Another one leads: calls without answer are made again, connections by way of the last are over. */
  #followed(leader: string): void {
    this.#ledAt = this.#clock.now();
    for (const call of [...this.#calls]) {
      if (call.leader === undefined && leader === this.#id)
        call.giveUp(); // the hub is here
      else if (call.leader === undefined) this.#tell(["call", call.channel]);
      else if (call.leader !== undefined && call.leader !== leader) {
        this.#calls.delete(call);
        call.onLost();
      }
    }
  }

  /** A page that goes into the back/forward cache, or is frozen, does not lead. */
  #watchPage(): void {
    const page = globalThis as Partial<Pick<EventTarget, "addEventListener">> & {
      readonly document?: EventTarget;
    };
    const { signal } = this.#pageEvents;
    const leave = () => {
      this.#waiting.abort();
      this.#stepDown();
    };
    const enter = () => {
      if (this.#waiting.signal.aborted) void this.#stand(false);
    };
    page.addEventListener?.("pagehide", leave, { signal });
    page.addEventListener?.("pageshow", enter, { signal });
    page.document?.addEventListener("freeze", leave, { signal });
    page.document?.addEventListener("resume", enter, { signal });
  }

  #tell(word: Word): void {
    this.#channel.postMessage(word);
  }
}
