// SPDX-License-Identifier: Apache-2.0
// The network between the browser and the server: a TCP relay that can be taken down. What an emulated
// "offline" does to a WebSocket that is open, browsers do not say.
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  /** Nothing comes through, not even that the other side has closed. */
  isSilent: boolean;
}

/** A relay of connections to one port of this machine. */
export class Wire {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #isUp = true;
  #waiting: (() => void)[] = [];
  /** How many connections were made, refused ones included. */
  tries = 0;
  /** How many bytes the server has sent. */
  received = 0;

  private constructor(to: () => number) {
    this.#server = createServer({ pauseOnConnect: true }, (near) => this.#accept(near, to()));
  }

  /** Starts a relay; `to` tells the port of the server. */
  static async start(to: () => number): Promise<Wire> {
    const wire = new Wire(to);
    await new Promise<void>((resolve) => wire.#server.listen(0, "127.0.0.1", resolve));
    return wire;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** How many connections are open now. */
  get open(): number {
    return this.#pairs.size;
  }

  /** Waits until so many connections are open. */
  async opened(count: number): Promise<void> {
    while (this.open !== count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Nothing comes through any more, and nobody is told; new connections are refused. */
  down(): void {
    this.#isUp = false;
    // What comes is read and thrown away: so the end of either side is still noticed here.
    for (const pair of this.#pairs) {
      pair.isSilent = true;
      pair.near.unpipe(pair.far).resume();
      pair.far.unpipe(pair.near).resume();
    }
  }

  /** New connections come through again; those from before stay silent. */
  up(): void {
    this.#isUp = true;
  }

  /** All connections break, as the browser is told. */
  cut(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket, port: number): void {
    this.tries += 1;
    near.on("error", () => {}); // its end follows
    if (!this.#isUp) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    const pair = { near, far, isSilent: false };
    far.on("error", () => pair.isSilent || near.destroy());
    this.#pairs.add(pair);
    near.on("close", () => {
      far.destroy();
      this.#pairs.delete(pair);
      this.#changed();
    });
    far.on("close", () => pair.isSilent || near.destroySoon());
    far.on("data", (data) => {
      this.received += data.length;
    });
    near.pipe(far);
    far.pipe(near);
    this.#changed();
  }

  #changed(): void {
    for (const tell of this.#waiting.splice(0)) tell();
  }
}
