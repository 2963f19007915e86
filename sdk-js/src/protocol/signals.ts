// SPDX-License-Identifier: Apache-2.0

/** How a pure object tells a front end that something about it has changed. */
export class Signal {
  readonly #subscribers = new Set<() => void>();

  /** Calls `wake` at each change from now on, until what is returned is called. */
  subscribe(wake: () => void): () => void {
    this.#subscribers.add(wake);
    return () => this.#subscribers.delete(wake);
  }

  /** Wakes the subscribers, who must only take note: a promise is resolved, no application runs. */
  fire(): void {
    for (const wake of this.#subscribers) wake();
  }
}

/** What was asked and is answered once: the two ends of a promise. */
export interface Question<Answer> {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}
