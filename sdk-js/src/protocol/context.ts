// SPDX-License-Identifier: Apache-2.0
import type { Settings } from "../options.js";
import type { Effect } from "./effects.js";
import type { Link } from "./link.js";
import { Timers } from "./timers.js";

/** What the parts of the protocol share: the links, the timers, and what is to be done. */
export class Context {
  readonly timers = new Timers();
  effects: Effect[] = [];
  /** The newest link. */
  current: Link | undefined;
  /** Older ones, since a `goaway`, until they are closed. */
  readonly draining = new Set<Link>();
  /** How many messages of the server were ignored. PROTOCOL 2.5.3. */
  ignored = 0;
  /** What the page has told last. */
  isHidden = false;
  isOffline = false;
  /** The page was left, and waits in the back/forward cache or is on its way out. */
  isAway = false;

  constructor(readonly settings: Settings) {}

  /** The link on which new messages are sent, if there is one. */
  get ready(): Link | undefined {
    return this.current?.phase === "ready" ? this.current : undefined;
  }

  /** All links, the newest last. */
  get links(): Link[] {
    return this.current === undefined ? [...this.draining] : [...this.draining, this.current];
  }

  link(id: number): Link | undefined {
    return this.links.find((link) => link.id === id);
  }

  send(link: Link, text: string): void {
    this.effects.push({ do: "send", link: link.id, text });
  }

  warn(text: string): void {
    this.effects.push({ do: "warn", text });
  }

  /** Counts a message of the server that is ignored. */
  ignore(what: string): void {
    this.ignored += 1;
    this.warn(`ignored: ${what}`);
  }

  /** Closes a link from here; it stays among the links until it is really closed. */
  close(link: Link, code: number, reason: string, now: number): void {
    if (link.phase === "closing") return;
    link.closedWith = { code, reason };
    this.timers.cancel(`welcome ${link.id}`);
    this.timers.cancel(`heartbeat ${link.id}`);
    this.timers.cancel(`refresh ${link.id}`);
    link.phase = "closing";
    this.effects.push({ do: "close", link: link.id, code, reason });
    // The front end calls `handleClosed` for a link that it cuts.
    this.timers.set(`closing ${link.id}`, now + this.settings.closeTimeoutMs, () => {
      this.effects.push({ do: "cut", link: link.id });
    });
  }

  /** Returns how long to wait after a retryable refusal. PROTOCOL 4.3.13, 9.4. */
  retryWaitMs(refusals: number, retryAfterMs: number | undefined): number {
    if (retryAfterMs !== undefined) return retryAfterMs;
    const { backoffInitialMs, backoffMaximumMs, random } = this.settings;
    return random() * Math.min(backoffMaximumMs, backoffInitialMs * 2 ** Math.min(refusals, 20));
  }
}
