// SPDX-License-Identifier: Apache-2.0
import type { Tab } from "./tab.js";

/** The place of a tab in one log. */
interface Follower {
  /** The number of the last event that was handed on to it. */
  position: number;
  /** True while too much is on its way to it: it reads on later. */
  isLagging: boolean;
}

/** The one cursor of the server's connection in a log, and the tabs that follow. PROTOCOL 10.25. */
interface Stream {
  readonly followers: Map<Tab, Follower>;
  /** The number of the newest event that came, or where the server reads on; `undefined`: nowhere. */
  cursor: number | undefined;
  /** The newest progress. */
  progress: string | undefined;
}

/**
 * Which tab follows which log how far. All of them cost one stream: the server reads on from the
 * place of the one that is least far, and each gets only what is behind its own.
 */
export class Streams {
  readonly #streams = new Map<string, Stream>();
  readonly #resume: (tab: Tab, id: string, position: number) => void;
  readonly #detach: (id: string) => void;

  /**
   * @param resume - has the server read on for a tab that lagged.
   * @param detach - has the server forget a cursor that nobody needs.
   */
  constructor(
    resume: (tab: Tab, id: string, position: number) => void,
    detach: (id: string) => void,
  ) {
    this.#resume = resume;
    this.#detach = detach;
  }

  /** The lowest place of those who follow, `undefined` if nobody does. */
  lowest(id: string): number | undefined {
    let lowest: number | undefined;
    for (const { position, isLagging } of this.#streams.get(id)?.followers.values() ?? []) {
      if (!isLagging) lowest = Math.min(lowest ?? position, position);
    }
    return lowest;
  }

  /** True if the next event is to be number 1. */
  isAtStart(id: string): boolean {
    return this.#streams.get(id)?.cursor === 0;
  }

  /** The server reads on after `cursor`. */
  moved(id: string, cursor: number): void {
    this.#stream(id).cursor = cursor;
  }

  /** A tab follows from here on. */
  follow(id: string, tab: Tab, position: number): void {
    const stream = this.#stream(id);
    stream.followers.set(tab, { position, isLagging: false });
    if (stream.progress !== undefined) tab.send(stream.progress);
  }

  /** A tab follows no more, as long as it is not told otherwise. */
  pause(id: string, tab: Tab): void {
    this.#streams.get(id)?.followers.delete(tab);
  }

  /** Nobody follows any more. Returns who did. */
  end(id: string): Tab[] {
    const tabs = [...(this.#streams.get(id)?.followers.keys() ?? [])];
    this.#streams.delete(id);
    return tabs;
  }

  /** An event came: it goes to those whose next it is. */
  event(id: string, seq: number, text: string, isTerminal: boolean): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.cursor = isTerminal ? undefined : seq; // PROTOCOL 4.5.5
    for (const [tab, follower] of stream.followers) {
      if (follower.isLagging || seq <= follower.position) continue;
      if (tab.isFull) {
        follower.isLagging = true;
        continue;
      }
      follower.position = seq;
      tab.send(text);
      if (isTerminal) stream.followers.delete(tab);
    }
    if (isTerminal && stream.followers.size === 0) this.#streams.delete(id);
  }

  /** Progress came: the newest is what counts. PROTOCOL 6.4. */
  progress(id: string, text: string): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.progress = text;
    for (const [tab, { isLagging }] of stream.followers) {
      if (!isLagging && !tab.isFull) tab.send(text);
    }
  }

  /** A tab has taken what was on its way: it reads on where it was. */
  catchUp(tab: Tab): void {
    for (const [id, { followers }] of this.#streams) {
      const follower = followers.get(tab);
      if (follower?.isLagging) this.#resume(tab, id, follower.position);
    }
  }

  /** A tab is gone. */
  leave(tab: Tab): void {
    for (const id of [...this.#streams.keys()]) {
      this.pause(id, tab);
      this.trim(id, false);
    }
  }

  /** Has the server forget a cursor that nobody needs; `isAwaited`: somebody is about to. */
  trim(id: string, isAwaited: boolean): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || isAwaited || stream.followers.size > 0) return;
    this.#streams.delete(id);
    if (stream.cursor !== undefined) this.#detach(id);
  }

  #stream(id: string): Stream {
    const known = this.#streams.get(id);
    if (known !== undefined) return known;
    const stream: Stream = { followers: new Map(), cursor: undefined, progress: undefined };
    this.#streams.set(id, stream);
    return stream;
  }
}
