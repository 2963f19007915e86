// SPDX-License-Identifier: Apache-2.0

/** How late a sign of life may be, in milliseconds. PROTOCOL 6.7.6. */
const GRACE_MS = 10_000;

/** How long nothing may be heard while the page is hidden. PROTOCOL 6.7.7. */
const HIDDEN_MS = 70_000;

/** The longest time until the next look: who sleeps longer than that was asleep. */
const LOOK_MS = 10_000;

/** A look that comes so late was held up: the machine slept, or a browser throttles its timers. */
const LATE_MS = 5_000;

/** Signs of life of one connection. PROTOCOL 6.7. */
export class Heartbeat {
  readonly #intervalMs: number;
  #heardAt: number;
  #pingAt: number;
  #probedAt: number | undefined; // nothing was heard since
  #lookAt = 0;

  /** @param pings - whether this side sends `ping`; else it is `Infinity` until then. */
  constructor(intervalMs: number, pings: boolean, now: number) {
    this.#intervalMs = intervalMs;
    this.#heardAt = now;
    this.#pingAt = pings ? now + intervalMs : Number.POSITIVE_INFINITY;
  }

  /** Takes any message as life. */
  heard(now: number): void {
    this.#heardAt = now;
    this.#probedAt = undefined;
  }

  /** A `ping` is sent to learn whether anybody is still there. PROTOCOL 6.7.8. */
  probed(now: number): void {
    this.#probedAt ??= now;
  }

  /** Returns when to look next. */
  nextLook(now: number, isHidden: boolean): number {
    // In a hidden page, whose timers come when they like, a look costs and tells nothing.
    const soon = isHidden ? Number.POSITIVE_INFINITY : now + LOOK_MS;
    this.#lookAt = Math.min(this.#deadAt(isHidden), this.#pingAt, soon);
    return this.#lookAt;
  }

  /** Looks: is the connection `dead`, is a `ping` due, to learn whether it is or as agreed on? */
  look(now: number, isHidden: boolean): "dead" | "probe" | "ping" | undefined {
    // PROTOCOL 6.7.9: what came meanwhile may still wait to be read.
    if (now - this.#lookAt > LATE_MS && this.#probedAt === undefined) return "probe";
    if (now >= this.#deadAt(isHidden)) return "dead";
    if (now < this.#pingAt) return undefined;
    this.#pingAt = now + this.#intervalMs; // PROTOCOL 6.7.3
    return "ping";
  }

  #deadAt(isHidden: boolean): number {
    if (this.#probedAt !== undefined) return this.#probedAt + GRACE_MS;
    const patience = this.#intervalMs + GRACE_MS;
    return this.#heardAt + (isHidden ? Math.max(HIDDEN_MS, patience) : patience);
  }
}
