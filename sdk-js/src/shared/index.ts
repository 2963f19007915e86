// SPDX-License-Identifier: Apache-2.0
/**
 * One connection for all tabs of an origin.
 *
 * @packageDocumentation
 */
import {
  type ActionTypes,
  type Client,
  type ClientOptions,
  connect as connectAlone,
  type Untyped,
} from "../index.js";
import { Election, type Locks, type TabsPlatform } from "./election.js";
import { type Channel, portOf, type SharedWorkerLike, type TabPort } from "./port.js";
import { sharedSocket } from "./socket.js";

/** How a client that shares its connection behaves. */
export interface SharedOptions extends ClientOptions {
  /**
   * Makes the worker that has the connection: a module that imports `longcall/shared/worker`. Called
   * again at each connect. Default: none, or where it cannot be made: one of the tabs has the
   * connection, by Web Locks and a BroadcastChannel.
   */
  readonly worker?: () => SharedWorkerLike;
}

export type { Channel, SharedWorkerLike };

let election: Election | undefined;
let clients = 0;

/**
 * Connects to a server as `connect` of `longcall` does, by a connection that all tabs of this origin
 * share, as far as they are one owner's. Two that watch one request cost the server one stream.
 *
 * The client is the same, and each tab has its own: a request is run once, whichever tab goes, and a
 * tab that is closed ends nothing of the others.
 *
 * Where there are neither SharedWorkers nor Web Locks, each tab has its own connection.
 *
 * @typeParam Actions - as of `connect` of `longcall`.
 * @throws ConfigurationError: the address or an option cannot be used, or there is no `WebSocket`.
 */
export function connect<Actions extends Record<keyof Actions, ActionTypes> = Untyped>(
  url: string | URL,
  options: SharedOptions = {},
): Client<Actions> {
  const { worker, ...own } = options;
  const platform = platformOf(globalThis);
  if (worker === undefined && platform === undefined) return connectAlone<Actions>(url, own);
  let isUsable = worker !== undefined;
  let isWaiting = false;
  const dial = async (onLost: () => void): Promise<TabPort> => {
    if (worker !== undefined && isUsable) {
      try {
        return dialWorker(worker, () => {
          isUsable = platform === undefined; // its script cannot be loaded
          onLost();
        });
      } catch (error) {
        if (platform === undefined) throw error;
        isUsable = false;
      }
    }
    if (platform === undefined) throw new Error("there is no hub");
    if (!isWaiting) clients += 1;
    isWaiting = true;
    election ??= new Election(platform, { webSocket: own.webSocket });
    return election.dial(onLost);
  };
  const client = connectAlone<Actions>(url, { ...own, webSocket: sharedSocket(dial) });
  client.onState(({ state }) => {
    if (state !== "closed" || !isWaiting) return;
    clients -= 1;
    if (clients > 0) return;
    election?.close();
    election = undefined;
  });
  return client;
}

function dialWorker(make: () => SharedWorkerLike, onLost: () => void): TabPort {
  const worker = make();
  worker.onerror = onLost;
  return portOf(worker.port);
}

/** Returns what tabs need to find each other, where the browser has it. */
function platformOf(global: {
  readonly navigator?: { readonly locks?: unknown };
  readonly BroadcastChannel?: new (name: string) => Channel;
}): TabsPlatform | undefined {
  const { navigator, BroadcastChannel } = global;
  if (navigator?.locks === undefined || BroadcastChannel === undefined) return undefined;
  return {
    locks: navigator.locks as Locks,
    channel: (name) => new BroadcastChannel(name),
  };
}
