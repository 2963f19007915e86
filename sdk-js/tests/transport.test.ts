// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Transport, type TransportEvents, type WebSocketConstructor } from "../src/transport.js";

/** A socket as browsers have it: pages may close with 1000 and 3000 to 4999 only. */
class BrowserSocket {
  static newest: BrowserSocket;
  readonly protocol = "longcall.v1";
  binaryType = "blob";
  onopen: ((event: unknown) => unknown) | null = null;
  onmessage: ((event: unknown) => unknown) | null = null;
  onclose: ((event: unknown) => unknown) | null = null;
  onerror: ((event: unknown) => unknown) | null = null;
  readonly closes: (number | undefined)[] = [];
  readonly sent: string[] = [];
  isOpen = false;

  constructor(
    readonly url: string,
    readonly protocols?: string[],
  ) {
    BrowserSocket.newest = this;
  }

  send(text: string): void {
    if (!this.isOpen) throw new DOMException("not open", "InvalidStateError");
    this.sent.push(text);
  }

  close(code?: number): void {
    if (code !== undefined && code !== 1000 && (code < 3000 || code > 4999)) {
      throw new DOMException("not allowed", "InvalidAccessError");
    }
    this.closes.push(code);
  }
}

function opened(): { transport: Transport; socket: BrowserSocket; told: unknown[] } {
  const told: unknown[] = [];
  const events: TransportEvents = {
    onOpened: (protocol) => told.push(["opened", protocol]),
    onText: (text) => told.push(["text", text]),
    onBinary: () => told.push(["binary"]),
    onClosed: (code, reason) => told.push(["closed", code, reason]),
  };
  const WebSocket: WebSocketConstructor = BrowserSocket;
  const transport = new Transport(WebSocket, "ws://host/", "longcall.v1", events);
  return { transport, socket: BrowserSocket.newest, told };
}

// clause: 2.1.2
test("the subprotocol is offered, and binary messages are no blobs", () => {
  const { socket } = opened();
  expect([socket.url, socket.protocols, socket.binaryType]).toEqual([
    "ws://host/",
    ["longcall.v1"],
    "arraybuffer",
  ]);
});

test("what the socket tells is told, and nothing after its end", () => {
  const { socket, told } = opened();
  socket.onopen?.({});
  socket.onmessage?.({ data: "text" });
  socket.onmessage?.({ data: new ArrayBuffer(1) });
  socket.onerror?.({});
  socket.onclose?.({ code: 4408, reason: "slow" });
  socket.onclose?.({ code: 1006, reason: "" });
  socket.onmessage?.({ data: "late" });
  socket.onopen?.({});
  expect(told).toEqual([
    ["opened", "longcall.v1"],
    ["text", "text"],
    ["binary"],
    ["closed", 4408, "slow"],
  ]);
});

test("a close code that browsers refuse becomes 4400", () => {
  const { transport, socket } = opened();
  transport.close(1003, "binary");
  transport.close(4408, "dead");
  expect(socket.closes).toEqual([4400, 4408]);
});

test("a socket that is cut is as lost, once", () => {
  const { transport, socket, told } = opened();
  transport.cut();
  socket.onclose?.({ code: 1000, reason: "" });
  expect(told).toEqual([["closed", 1006, ""]]);
  expect(socket.closes).toEqual([undefined]);
});

test("sending on a socket that is not open does nothing", () => {
  const { transport, socket } = opened();
  transport.send("lost");
  socket.isOpen = true;
  transport.send("text");
  expect(socket.sent).toEqual(["text"]);
});

test("the standard class and that of ws fit the type", async () => {
  const { WebSocket: FromWs } = await import("ws");
  const classes: WebSocketConstructor[] = [FromWs];
  const standard: typeof globalThis.WebSocket | undefined = globalThis.WebSocket;
  if (standard) classes.push(standard);
  expect(classes.length).toBeGreaterThan(0);
});
