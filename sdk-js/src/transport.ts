// SPDX-License-Identifier: Apache-2.0
// One socket behind four callbacks. Nothing here knows the protocol.
import { CLOSE_CODES } from "./generated/codes.js";

/** What is needed of a socket: the standard `WebSocket`, and that of `ws`, have it. */
export interface WebSocketLike {
  readonly protocol: string;
  binaryType: string;
  // biome-ignore lint/suspicious/noExplicitAny: each platform has its own classes of events
  onopen: ((event: any) => any) | null;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  onmessage: ((event: any) => any) | null;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  onclose: ((event: any) => any) | null;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  onerror: ((event: any) => any) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** A class of sockets. */
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** What a socket tells. `onClosed` comes exactly once, and last. */
export interface TransportEvents {
  onOpened(protocol: string): void;
  onText(text: string): void;
  onBinary(): void;
  onClosed(code: number, reason: string, retryAfterMs?: number): void;
}

/** What `ws` has beside the standard: the answer to a refused upgrade, and a way to cut. */
interface NodeSocket {
  once?(
    event: "unexpected-response",
    listener: (request: unknown, response: Response) => void,
  ): void;
  terminate?(): void;
}

interface Response {
  readonly statusCode?: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** One socket, from its opening to its end. */
export class Transport {
  readonly #socket: WebSocketLike & NodeSocket;
  readonly #events: TransportEvents;
  #isOver = false;

  constructor(
    WebSocket: WebSocketConstructor,
    url: string,
    protocol: string,
    events: TransportEvents,
  ) {
    this.#events = events;
    const socket: WebSocketLike & NodeSocket = new WebSocket(url, [protocol]);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#isOver || events.onOpened(socket.protocol);
    socket.onmessage = ({ data }: { data: unknown }) => {
      if (this.#isOver) return;
      if (typeof data === "string") events.onText(data);
      else events.onBinary();
    };
    socket.onerror = () => {}; // onclose follows, and says as much
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      this.#end(code, reason);
    socket.once?.("unexpected-response", (_request, response) => this.#refused(response));
  }

  send(text: string): void {
    try {
      this.#socket.send(text);
    } catch {
      // It is closed or about to be, and says so itself.
    }
  }

  /** Begins the closing handshake; `onClosed` tells its end. */
  close(code: number, reason: string): void {
    try {
      this.#socket.close(code, reason);
    } catch {
      // Browsers let pages close with 1000 and 3000 to 4999 only.
      this.#socket.close(CLOSE_CODES.PROTOCOL_ERROR.code, reason);
    }
  }

  /** Ends it at once, as if the connection were lost. */
  cut(): void {
    this.#end(1006, "");
    if (this.#socket.terminate) this.#socket.terminate();
    else this.#socket.close();
  }

  // PROTOCOL 9.4: 401 is as close code 4401, 403 as 4403, all others as a lost connection.
  #refused({ statusCode = 0, headers }: Response): void {
    const { UNAUTHORIZED, FORBIDDEN } = CLOSE_CODES;
    const codes: Readonly<Record<number, number>> = { 401: UNAUTHORIZED.code, 403: FORBIDDEN.code };
    const retryAfter = Number(headers["retry-after"]);
    this.#end(
      codes[statusCode] ?? 1006,
      `the upgrade was refused with HTTP status ${statusCode}`,
      retryAfter >= 0 ? retryAfter * 1000 : undefined,
    );
    this.#socket.terminate?.();
  }

  #end(code: number, reason: string, retryAfterMs?: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.onClosed(code, reason, retryAfterMs);
  }
}
