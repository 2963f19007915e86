// SPDX-License-Identifier: Apache-2.0
import type { Tab } from "./tab.js";

/** What a tab has asked the server and is not answered. */
export interface Asked {
  readonly tab: Tab;
  /** Of a `list`: the id that the tab gave it. */
  readonly id?: string;
  /** Of a `request`: the message, which may have to be sent again. */
  readonly text?: string;
  /** How often it was sent again. */
  readonly tries?: number;
  /** Of an `attach`: the place of the tab. */
  readonly after?: number;
  /** Of an `attach`: the place that the server was asked for, on account of other tabs. */
  readonly from?: number;
  isFollowing?: boolean;
  /** True if the hub asked by itself, for a tab that lagged: that gets no answer. */
  readonly isOurs?: boolean;
}

/** Who is to get the answers of the server: for one id they come in the order of asking. PROTOCOL 4.5.1. */
export class Answers {
  readonly #asked = new Map<string, Asked[]>();

  expect(replyTo: string, id: string, asked: Asked): void {
    const key = `${replyTo} ${id}`;
    const queue = this.#asked.get(key);
    if (queue) queue.push(asked);
    else this.#asked.set(key, [asked]);
  }

  isAwaited(replyTo: string, id: string): boolean {
    return this.#asked.has(`${replyTo} ${id}`);
  }

  /** The lowest place that an `attach` without answer is to begin at. */
  lowest(id: string): number | undefined {
    const places = this.#asked.get(`attach ${id}`)?.filter(({ isFollowing }) => isFollowing) ?? [];
    return places.length === 0 ? undefined : Math.min(...places.map(({ after = 0 }) => after));
  }

  /** A tab does not follow any more what it has just asked to follow. */
  unfollow(id: string, tab: Tab): void {
    for (const asked of this.#asked.get(`attach ${id}`) ?? []) {
      if (asked.tab === tab) asked.isFollowing = false;
    }
  }

  /** Takes the oldest question. */
  take(replyTo: string, id = ""): Asked | undefined {
    const key = `${replyTo} ${id}`;
    const queue = this.#asked.get(key);
    const asked = queue?.shift();
    if (queue?.length === 0) this.#asked.delete(key);
    return asked;
  }
}
