// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../options.js";

// As they are when this is loaded: a test may put its own in their place later.
const { setTimeout, setImmediate = (callback: () => void) => setTimeout(callback, 0) } =
  globalThis as typeof globalThis & { setImmediate?: (callback: () => void) => unknown };

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that passes when the test says so. Pass it to a client as its `clock`. */
export class TestClock implements Clock {
  #now = 0;
  readonly #timers = new Set<Timer>();

  /** How many timers wait. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds since this clock was made. */
  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): unknown {
    const timer = { at: this.#now + Math.max(0, ms), callback };
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as Timer);
  }

  /**
   * Lets `ms` milliseconds pass: runs the timers that become due, in order, and after each whatever
   * it set going, as {@link settle} does. 0 runs what is due now.
   */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0)) throw new RangeError(`time goes forward only, not by ${ms} ms`);
    const end = this.#now + ms;
    await this.settle();
    for (let timer = this.#next(end); timer !== undefined; timer = this.#next(end)) {
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, timer.at);
      timer.callback();
      await this.settle();
    }
    this.#now = end;
  }

  /** Waits, with no time passing here, until all that was sent has arrived and was answered. */
  async settle(): Promise<void> {
    // Nothing in memory waits for more than promises, and those are done before the loop turns.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= end && (first === undefined || timer.at < first.at)) first = timer;
    }
    return first;
  }
}
