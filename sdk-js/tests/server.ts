// SPDX-License-Identifier: Apache-2.0
// A server on 127.0.0.1 that does what the test says, message by message.
import type { IncomingMessage } from "node:http";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import { type Client, type ClientOptions, connect } from "../src/index.js";
import { cleanups } from "./cleanup.js";
import { acknowledgment, type Wire, welcomeMessage } from "./protocol/bench.js";

/** Things that come one by one, to somebody who waits for each. */
class Queue<T> {
  readonly #items: T[] = [];
  readonly #takers: ((item: T) => void)[] = [];

  put(item: T): void {
    const taker = this.#takers.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  take(): Promise<T> {
    const [item] = this.#items.splice(0, 1);
    return item === undefined
      ? new Promise((resolve) => this.#takers.push(resolve))
      : Promise.resolve(item);
  }
}

/** The server's end of one connection. */
export class Peer {
  readonly #socket: WebSocket;
  readonly #messages = new Queue<Wire>();
  /** How the client closed it. */
  readonly closed: Promise<number>;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) => this.#messages.put(JSON.parse(String(data))));
    this.closed = new Promise((resolve) => socket.once("close", resolve));
  }

  /** Returns the next message of the client. */
  next(): Promise<Wire> {
    return this.#messages.take();
  }

  /** Returns the next message, which must be of this type. */
  async expect<Type extends string>(type: Type): Promise<Wire & { readonly type: Type }> {
    const message = await this.next();
    if (message.type !== type) throw new Error(`${type} was expected: ${JSON.stringify(message)}`);
    return message as Wire & { readonly type: Type };
  }

  send(...messages: object[]): void {
    for (const message of messages) this.#socket.send(JSON.stringify(message));
  }

  sendRaw(data: string | Buffer): void {
    this.#socket.send(data);
  }

  async welcome(more: object = {}): Promise<Wire> {
    const hello = await this.expect("hello");
    this.send(welcomeMessage(more));
    return hello;
  }

  /** Takes a request and stores it; returns its id. */
  async acknowledge(): Promise<string> {
    const { id } = await this.expect("request");
    this.send(acknowledgment(String(id)));
    return String(id);
  }

  close(code: number, reason = ""): void {
    this.#socket.close(code, reason);
  }

  /** Loses the connection without a word. */
  drop(): void {
    this.#socket.terminate();
  }
}

/** Takes connections; each is a `Peer`. */
export class TestServer {
  readonly #http: Server;
  readonly #sockets: WebSocketServer;
  readonly #peers = new Queue<Peer>();
  /** Answers an upgrade with this status instead, as long as it is set. */
  refuseWith: string | undefined;
  answer: RequestListener = (_request, response) => response.writeHead(404).end();
  connections = 0;

  private constructor() {
    this.#http = createServer((request, response) => this.answer(request, response));
    this.#sockets = new WebSocketServer({
      noServer: true,
      handleProtocols: (offered) => (offered.has("longcall.v1") ? "longcall.v1" : false),
    });
    this.#http.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Starts a server that is stopped at the end of the test. */
  static async start(): Promise<TestServer> {
    const server = new TestServer();
    await new Promise<void>((resolve) => server.#http.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.#stop());
    return server;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#http.address() as AddressInfo).port}/v1/connect`;
  }

  /** Returns a client of this server that is closed at the end of the test. */
  client(options: ClientOptions = {}): Client {
    const client = connect(this.url, {
      token: "token",
      webSocket: WebSocket,
      backoffInitialMs: 1,
      backoffMaximumMs: 4,
      ...options,
    });
    cleanups.push(() => client.close());
    return client;
  }

  /** Returns the next connection. */
  accept(): Promise<Peer> {
    return this.#peers.take();
  }

  /** Returns the next connection, welcomed. */
  async welcomed(more: object = {}): Promise<Peer> {
    const peer = await this.accept();
    await peer.welcome(more);
    return peer;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.connections += 1;
    if (this.refuseWith !== undefined) {
      socket.end(`HTTP/1.1 ${this.refuseWith}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (opened) => {
      this.#peers.put(new Peer(opened));
    });
  }

  async #stop(): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }
}

/** Returns a client and the server's end of its connection, welcomed. */
export async function connected(
  options: ClientOptions = {},
  more: object = {},
): Promise<{ server: TestServer; client: Client; peer: Peer }> {
  const server = await TestServer.start();
  const client = server.client(options);
  return { server, client, peer: await server.welcomed(more) };
}
