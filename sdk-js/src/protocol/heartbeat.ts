// SPDX-License-Identifier: Apache-2.0

/** How late a sign of life may be, in milliseconds. PROTOCOL 6.7.6. */
const GRACE_MS = 10_000;

/** Signs of life of one connection. PROTOCOL 6.7. */
export class Heartbeat {
  readonly #intervalMs: number;
  #heardAt: number;
  #pingAt: number;

  /** @param pings - whether this side sends `ping`; else it is `Infinity` until then. */
  constructor(intervalMs: number, pings: boolean, now: number) {
    this.#intervalMs = intervalMs;
    this.#heardAt = now;
    this.#pingAt = pings ? now + intervalMs : Number.POSITIVE_INFINITY;
  }

  /** Takes any message as life. */
  heard(now: number): void {
    this.#heardAt = now;
  }

  isDead(now: number): boolean {
    return now >= this.#deadAt;
  }

  /** True once an interval, when this side pings. PROTOCOL 6.7.3. */
  isPingDue(now: number): boolean {
    if (now < this.#pingAt) return false;
    this.#pingAt = now + this.#intervalMs;
    return true;
  }

  get nextTimeout(): number {
    return Math.min(this.#deadAt, this.#pingAt);
  }

  get #deadAt(): number {
    return this.#heardAt + this.#intervalMs + GRACE_MS;
  }
}
