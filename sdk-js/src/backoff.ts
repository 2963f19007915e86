// SPDX-License-Identifier: Apache-2.0

/**
 * Random waits between 0 and a bound that doubles: full jitter, so that clients that lost their
 * server together do not come back together. PROTOCOL 9.4.
 */
export class Backoff {
  #bound: number;
  #boundBeforeWelcome: number;

  constructor(
    readonly initialMs: number,
    readonly maximumMs: number,
    readonly random: () => number,
  ) {
    this.#bound = initialMs;
    this.#boundBeforeWelcome = initialMs;
  }

  /** Returns how long to wait now, and doubles the bound for the next time. */
  waitMs(): number {
    const bound = this.#bound;
    this.#bound = Math.min(this.maximumMs, bound * 2);
    return this.random() * bound;
  }

  /** A `welcome` arrived: the next wait is a short one. PROTOCOL 9.4.3. */
  welcomed(): void {
    this.#boundBeforeWelcome = this.#bound;
    this.#bound = this.initialMs;
  }

  /**
   * The server broke the protocol after its `welcome`: waits go on growing, or a server that is
   * wrong each time would be called without end. PROTOCOL 9.4.4.
   */
  violated(): void {
    this.#bound = Math.max(this.#bound, this.#boundBeforeWelcome);
  }
}
