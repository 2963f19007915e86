// SPDX-License-Identifier: Apache-2.0

type Action = (now: number) => void;

/** A few points in time by name; setting one again moves it. Time itself is an argument. */
export class Timers {
  readonly #due = new Map<string, { readonly at: number; readonly action: Action }>();

  set(name: string, at: number, action: Action): void {
    this.#due.set(name, { at, action });
  }

  cancel(name: string): void {
    this.#due.delete(name);
  }

  clear(): void {
    this.#due.clear();
  }

  has(name: string): boolean {
    return this.#due.has(name);
  }

  /** Returns when a timer is due; `undefined` if it is not set. */
  due(name: string): number | undefined {
    return this.#due.get(name)?.at;
  }

  /** Returns when the first one is due; `undefined` if there is none. */
  next(): number | undefined {
    let first: number | undefined;
    for (const { at } of this.#due.values()) if (first === undefined || at < first) first = at;
    return first;
  }

  /** Runs those that are due, the earliest first. */
  run(now: number): void {
    for (;;) {
      const due = [...this.#due]
        .filter(([, { at }]) => at <= now)
        .sort(([, a], [, b]) => a.at - b.at);
      const [first] = due;
      if (first === undefined) return;
      const [name, { action }] = first;
      this.#due.delete(name);
      action(now);
    }
  }
}
