// SPDX-License-Identifier: Apache-2.0
import type { WebSocketConstructor, WebSocketLike } from "../transport.js";
import type { TabPort } from "./port.js";

/** How much a tab takes before it says so, in characters. */
const TAKEN_STEP = 64 * 1024;

/** Returns the class of sockets that lead to the hub, each by a port that `dial` gives. */
export function sharedSocket(dial: (onLost: () => void) => Promise<TabPort>): WebSocketConstructor {
  return class SharedWebSocket implements WebSocketLike {
    protocol = "";
    binaryType = "blob";
    onopen: ((event: unknown) => unknown) | null = null;
    onmessage: ((event: { readonly data: string }) => unknown) | null = null;
    onclose: ((event: { readonly code: number; readonly reason: string }) => unknown) | null = null;
    onerror: ((event: unknown) => unknown) | null = null;
    #port: TabPort | undefined;
    #isOver = false;
    #taken = 0;

    constructor(url: string, protocols: string[] = []) {
      dial(() => this.#end(1006, "the hub is gone")).then(
        (port) => {
          if (this.#isOver) {
            port.close();
            return;
          }
          this.#port = port;
          port.listen((message) => {
            if (message[0] === "text") this.#receive(message[1]);
            else if (message[0] === "closed") this.#end(message[1], message[2]);
            else {
              this.protocol = protocols[0] ?? "";
              this.onopen?.({});
            }
          });
          port.post(["open", url]);
        },
        () => this.#end(1006, "no hub"),
      );
    }

    send(text: string): void {
      this.#port?.post(["text", text]);
    }

    close(code = 1000, reason = ""): void {
      if (this.#isOver) return;
      this.#port?.post(["close"]);
      const port = this.#port;
      this.#port = undefined;
      port?.close();
      void Promise.resolve().then(() => this.#end(code, reason));
    }

    #receive(text: string): void {
      if (this.#isOver) return;
      this.onmessage?.({ data: text });
      this.#taken += text.length;
      if (this.#taken < TAKEN_STEP) return;
      this.#port?.post(["taken", this.#taken]);
      this.#taken = 0;
    }

    #end(code: number, reason: string): void {
      if (this.#isOver) return;
      this.#isOver = true;
      this.#port?.close();
      this.#port = undefined;
      this.onclose?.({ code, reason });
    }
  };
}
