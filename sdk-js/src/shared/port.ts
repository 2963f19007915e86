// SPDX-License-Identifier: Apache-2.0
// What a tab and the hub say to each other: one port for each connection of a client in a tab.

/** Changes when the messages here do, so that tabs of an older page never meet a newer hub. */
export const FORMAT = "longcall/1";

/** A tab opens a connection, sends texts, says how much it has taken, and closes. */
export type ToHub =
  | readonly [kind: "open", url: string]
  | readonly [kind: "text", text: string]
  | readonly [kind: "taken", characters: number]
  | readonly [kind: "close"];

/** The hub has a connection for it, hands on texts, and closes. */
export type ToTab =
  | readonly [kind: "opened"]
  | readonly [kind: "text", text: string]
  | readonly [kind: "closed", code: number, reason: string];

/** One end of a port. Messages arrive in order, if at all: the other end may be gone any time. */
export interface Port<Sent, Received> {
  post(message: Sent): void;
  /** Calls `listener` for each message from now on. */
  listen(listener: (message: Received) => void): void;
  /** Nothing is heard any more; the other end is not told. */
  close(): void;
}

export type TabPort = Port<ToHub, ToTab>;
export type HubPort = Port<ToTab, ToHub>;

/** What is needed of a `MessagePort` or a `BroadcastChannel`. */
export interface Channel {
  postMessage(message: unknown): void;
  // biome-ignore lint/suspicious/noExplicitAny: each platform has its own classes of events
  onmessage: ((event: any) => any) | null;
  close(): void;
}

/** What is needed of a `SharedWorker`. */
export interface SharedWorkerLike {
  readonly port: Channel;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  onerror: ((event: any) => any) | null;
}

/** Makes a port of one end of a channel. */
export function portOf<Sent, Received>(channel: Channel): Port<Sent, Received> {
  return {
    post: (message) => channel.postMessage(message),
    listen: (listener) => {
      channel.onmessage = ({ data }: { readonly data: Received }) => listener(data);
    },
    close: () => {
      channel.onmessage = null;
      channel.close();
    },
  };
}

/** Two ends in one page. */
export function pair(): { readonly tab: TabPort; readonly hub: HubPort } {
  const listeners: { tab?: (message: never) => void; hub?: (message: never) => void } = {};
  const end = <Sent, Received>(own: "tab" | "hub", other: "tab" | "hub"): Port<Sent, Received> => ({
    post: (message) => {
      void Promise.resolve().then(() => listeners[other]?.(message as never)); // in order, later
    },
    listen: (listener) => {
      listeners[own] = listener;
    },
    close: () => {
      delete listeners[own];
    },
  });
  return { tab: end("tab", "hub"), hub: end("hub", "tab") };
}
