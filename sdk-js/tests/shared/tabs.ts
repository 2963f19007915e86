// SPDX-License-Identifier: Apache-2.0
// Tabs of one browser, in memory: each has a client of its own, and all have one hub.
import { type Client, type ClientOptions, connect } from "../../src/index.js";
import { Hub } from "../../src/shared/hub.js";
import { type HubPort, pair, type TabPort } from "../../src/shared/port.js";
import { sharedSocket } from "../../src/shared/socket.js";
import { InMemoryServer, type InMemoryServerOptions } from "../../src/testing/index.js";
import { cleanups } from "../cleanup.js";

/** What a tab does with the messages of the hub. */
export class Line {
  /** False: the tab is frozen, and its messages wait. */
  isAwake = true;
  #waiting: (() => void)[] = [];

  deliver(receive: () => void): void {
    if (this.isAwake) receive();
    else this.#waiting.push(receive);
  }

  wake(): void {
    this.isAwake = true;
    for (const receive of this.#waiting.splice(0)) receive();
  }
}

/** A port to the hub whose messages to the tab go by `line`. */
function portBy(line: Line): { tab: TabPort; hub: HubPort } {
  const { tab, hub } = pair();
  const listen: TabPort["listen"] = (listener) =>
    tab.listen((message) => line.deliver(() => listener(message)));
  return { tab: { ...tab, listen }, hub };
}

export class Tabs {
  readonly server: InMemoryServer;
  hub: Hub;

  constructor(options: InMemoryServerOptions = {}) {
    this.server = new InMemoryServer(options);
    this.hub = this.newHub();
    cleanups.push(() => {
      this.hub.close();
      this.server.stop();
    });
  }

  newHub(): Hub {
    const { WebSocket, clock } = this.server;
    this.hub = new Hub({ webSocket: WebSocket, clock, random: () => 1 });
    return this.hub;
  }

  /** Opens a tab, whose client is closed at the end of the test. */
  open(options: ClientOptions = {}, line = new Line()): Client {
    const dial = async () => {
      const { tab, hub } = portBy(line);
      this.hub.add(hub);
      return tab;
    };
    const client = connect(this.server.url, {
      ...this.server.clientOptions,
      webSocket: sharedSocket(dial),
      ...options,
    });
    cleanups.push(() => client.close());
    return client;
  }
}
