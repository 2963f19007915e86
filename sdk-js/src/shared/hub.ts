// SPDX-License-Identifier: Apache-2.0
import { CLOSE_CODES } from "../generated/codes.js";
import type * as wire from "../generated/messages.js";
import { type Clock, platformClock } from "../options.js";
import type { WebSocketConstructor } from "../transport.js";
import type { HubPort } from "./port.js";
import { Tab, type TabEvents } from "./tab.js";
import { Upstream } from "./upstream.js";

/** What a hub is made of; all has a default. */
export interface HubOptions {
  /** Default: the global `WebSocket`. */
  readonly webSocket?: WebSocketConstructor | undefined;
  /** Default: that of the platform. */
  readonly clock?: Clock | undefined;
  /** A number from 0 to 1. Default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/**
 * Where the connections of all tabs come together: one connection to the server for those that the
 * server says are of one owner, never one for two owners.
 */
export class Hub {
  readonly #options: HubOptions;
  readonly #upstreams = new Set<Upstream>();
  readonly #tabs = new Map<Tab, Upstream | undefined>();
  readonly #admissions = new Map<string, Promise<void>>();

  constructor(options: HubOptions = {}) {
    this.#options = options;
  }

  /** A tab opens a connection. */
  add(port: HubPort): void {
    const events: TabEvents = {
      onOpen: (tab) => tab.opened(),
      onText: (tab, text) => this.#take(tab, text),
      onTaken: (tab) => this.#tabs.get(tab)?.catchUp(tab),
      onClosed: (tab) => {
        const upstream = this.#tabs.get(tab);
        this.#tabs.delete(tab);
        upstream?.leave(tab);
      },
    };
    this.#tabs.set(new Tab(port, events), undefined);
  }

  /** Ends all: each tab goes on with the next hub. */
  close(): void {
    const { code } = CLOSE_CODES.GOING_AWAY;
    for (const tab of [...this.#tabs.keys()]) tab.close(code, "the hub moves");
  }

  #take(tab: Tab, text: string): void {
    const upstream = this.#tabs.get(tab);
    if (upstream !== undefined) {
      upstream.take(tab, text);
      return;
    }
    const hello = JSON.parse(text) as wire.HelloMessage;
    // One after the other, so that two tabs that come together find each other.
    const before = this.#admissions.get(tab.url) ?? Promise.resolve();
    const admission = before.then(() => this.#admit(tab, hello));
    this.#admissions.set(tab.url, admission);
  }

  async #admit(tab: Tab, hello: wire.HelloMessage): Promise<void> {
    const found = await this.#find(tab.url, hello.token);
    if (!tab.isOpen) return;
    const upstream = found ?? this.#open(tab.url, hello);
    if (upstream === undefined) {
      tab.close(1006, "no socket could be made");
      return;
    }
    this.#tabs.set(tab, upstream);
    upstream.join(tab);
    await upstream.ready;
  }

  /** Returns the connection of the owner for whom a token stands, as the server says. */
  async #find(url: string, token: string | undefined): Promise<Upstream | undefined> {
    for (const upstream of [...this.#upstreams]) {
      const isUsable = () => upstream.isOpen && !upstream.isDraining;
      if (upstream.url !== url || !isUsable()) continue;
      const isSame =
        upstream.token === token || (token !== undefined && (await upstream.isSameOwner(token)));
      if (isSame && isUsable()) return upstream;
    }
    return undefined;
  }

  #open(url: string, hello: wire.HelloMessage): Upstream | undefined {
    const { webSocket, clock = platformClock(), random = Math.random } = this.#options;
    const global = globalThis as { readonly WebSocket?: WebSocketConstructor };
    const WebSocket = webSocket ?? global.WebSocket;
    if (WebSocket === undefined) return undefined;
    try {
      const upstream = new Upstream(url, hello, {
        WebSocket,
        clock,
        random,
        onEnded: (ended) => this.#upstreams.delete(ended),
      });
      this.#upstreams.add(upstream);
      return upstream;
    } catch {
      return undefined; // the class threw: as a connection that failed
    }
  }
}
