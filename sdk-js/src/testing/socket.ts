// SPDX-License-Identifier: Apache-2.0
// Two ends of a connection in memory. What is sent arrives later, in order, as on a wire.
import type { WebSocketConstructor, WebSocketLike } from "../transport.js";

/** The server's end of one socket. */
export interface Pipe {
  /** The address that the client asked for. */
  readonly url: string;
  /** Sends a text to the client. */
  send(text: string): void;
  /** Closes; without a code the connection is lost without a word. What is on its way is lost too. */
  close(code?: number, reason?: string): void;
}

/** What the server's end hears. `onClosed` comes once, unless the server closed. */
export interface PipeEvents {
  onText(text: string): void;
  onClosed(code: number, reason: string): void;
}

/** Takes a new connection, or refuses it with `undefined`, as if nobody listened. */
export type Accept = (pipe: Pipe) => PipeEvents | undefined;

/** Returns the class of the sockets whose other end is `accept`'s. */
export function socketClass(accept: Accept): WebSocketConstructor {
  return class InMemoryWebSocket implements WebSocketLike {
    protocol = "";
    binaryType = "blob";
    onopen: ((event: unknown) => unknown) | null = null;
    onmessage: ((event: { readonly data: unknown }) => unknown) | null = null;
    onclose: ((event: { readonly code: number; readonly reason: string }) => unknown) | null = null;
    onerror: ((event: unknown) => unknown) | null = null;
    #server: PipeEvents | undefined;
    #phase: "connecting" | "open" | "closing" | "closed" = "connecting";

    constructor(url: string, protocols: string[] = []) {
      later(() => {
        if (this.#phase !== "connecting") return;
        this.#server = accept({
          url,
          send: (text) => this.#deliver(() => this.onmessage?.({ data: text })),
          close: (code, reason = "") => this.#end(code, reason),
        });
        if (this.#server === undefined) {
          this.#end();
          return;
        }
        this.#phase = "open";
        this.protocol = protocols[0] ?? "";
        this.onopen?.({});
      });
    }

    send(text: string): void {
      if (this.#phase === "connecting") throw new Error("the socket is not open yet");
      later(() => {
        if (this.#phase === "open") this.#server?.onText(text);
      });
    }

    close(code = 1000, reason = ""): void {
      if (this.#phase === "closing" || this.#phase === "closed") return;
      const wasOpen = this.#phase === "open";
      this.#phase = "closing";
      later(() => {
        if (this.#phase !== "closing") return;
        this.#phase = "closed";
        this.#server?.onClosed(code, reason);
        this.onclose?.(wasOpen ? { code, reason } : { code: 1006, reason: "" });
      });
    }

    #deliver(receive: () => void): void {
      later(() => {
        if (this.#phase === "open") receive();
      });
    }

    #end(code?: number, reason = ""): void {
      const close = () => {
        if (this.#phase === "closed") return;
        this.#phase = "closed";
        this.onclose?.({ code: code ?? 1006, reason });
      };
      if (code !== undefined) {
        later(close); // behind what was sent before
      } else if (this.#phase !== "closed") {
        this.#phase = "closing";
        this.#server = undefined;
        later(close);
      }
    }
  };
}

/** Runs `task` behind what waits already. Nobody puts fakes in the place of promises. */
function later(task: () => void): void {
  void Promise.resolve().then(task);
}
