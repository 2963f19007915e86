// SPDX-License-Identifier: Apache-2.0

/**
 * Says when a message may be sent: a burst, then so many a minute. PROTOCOL 6.6, 9.6.
 *
 * It holds only half of the burst that the server allows: messages that the network held up arrive
 * together, and then count at once.
 */
export class TokenBucket {
  readonly #capacity: number;
  readonly #perMs: number;
  #tokens: number;
  #filledAt: number;

  constructor(burst: number, perMinute: number, now: number) {
    this.#capacity = Math.ceil(burst / 2);
    this.#perMs = perMinute / 60_000;
    this.#tokens = this.#capacity;
    this.#filledAt = now;
  }

  /** Takes a token if there is one. */
  take(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Returns a token that was taken for nothing. */
  giveBack(): void {
    this.#tokens += 1;
  }

  /** Takes a token that must be taken; what is owed is waited for later. */
  force(now: number): void {
    this.#fill(now);
    this.#tokens -= 1;
  }

  /** Returns when the next token is there. */
  readyAt(now: number): number {
    this.#fill(now);
    // Never a hair too early: a timer that fires just before would fire for ever.
    return now + Math.ceil(Math.max(0, 1 - this.#tokens) / this.#perMs) + 1;
  }

  #fill(now: number): void {
    const gained = Math.max(0, now - this.#filledAt) * this.#perMs;
    this.#tokens = Math.min(this.#capacity, this.#tokens + gained);
    this.#filledAt = now;
  }
}
