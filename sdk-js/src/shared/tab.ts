// SPDX-License-Identifier: Apache-2.0
import type { HubPort, ToHub } from "./port.js";

/** How much may be on its way to a tab, in characters. PROTOCOL 6.4: then it reads on later. */
const MAX_UNTAKEN = 1024 * 1024;

/** Pings that a tab may leave unanswered before it is given up. PROTOCOL 6.7.5. */
const MAX_PINGS = 2;

/** What happens to a tab's connection. */
export interface TabEvents {
  onOpen(tab: Tab, url: string): void;
  onText(tab: Tab, text: string): void;
  /** It has taken what was on its way. */
  onTaken(tab: Tab): void;
  onClosed(tab: Tab): void;
}

/** The hub's side of one connection of a tab. */
export class Tab {
  url = "";
  isOpen = true;
  /** Messages of it that wait to be sent to the server. */
  queued = 0;
  readonly #port: HubPort;
  readonly #events: TabEvents;
  #untaken = 0;
  #pings = 0;

  constructor(port: HubPort, events: TabEvents) {
    this.#port = port;
    this.#events = events;
    port.listen((message) => this.#take(message));
  }

  /** True while so much is on its way that events are to wait. */
  get isFull(): boolean {
    return this.#untaken >= MAX_UNTAKEN;
  }

  opened(): void {
    this.#port.post(["opened"]);
  }

  send(text: string): void {
    if (!this.isOpen) return;
    this.#untaken += text.length;
    this.#port.post(["text", text]);
  }

  /** Asks for a sign of life; false, if the tab has given none for too long. */
  ping(): boolean {
    if (this.#pings >= MAX_PINGS) return false;
    this.#pings += 1;
    this.send('{"type":"ping"}');
    return true;
  }

  close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.#port.post(["closed", code, reason]);
    this.#over();
  }

  #take(message: ToHub): void {
    if (!this.isOpen) return;
    this.#pings = 0;
    switch (message[0]) {
      case "open":
        this.url = message[1];
        this.#events.onOpen(this, this.url);
        return;
      case "text":
        this.#events.onText(this, message[1]);
        return;
      case "taken": {
        const wasFull = this.isFull;
        this.#untaken -= message[1];
        if (wasFull && !this.isFull) this.#events.onTaken(this);
        return;
      }
      case "close":
        this.#over();
    }
  }

  #over(): void {
    this.isOpen = false;
    this.#events.onClosed(this);
    this.#port.close();
  }
}
