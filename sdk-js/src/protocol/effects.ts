// SPDX-License-Identifier: Apache-2.0
// What the protocol wants done: the front end takes these after each call and does them in order.
import type { Announcement, ClientState } from "../events.js";
import type { TokenReason } from "../options.js";

export type Effect =
  /** Get a token, then call `handleToken` or `handleTokenFailed`. */
  | { readonly do: "token"; readonly link: number; readonly reason: TokenReason }
  /** Open a socket, then call `handleOpened`, or `handleClosed` if it fails. */
  | { readonly do: "open"; readonly link: number }
  | { readonly do: "send"; readonly link: number; readonly text: string }
  /** Begin the closing handshake, then call `handleClosed`. */
  | { readonly do: "close"; readonly link: number; readonly code: number; readonly reason: string }
  /** Cut the socket, which took too long to close: nothing more is heard of it. */
  | { readonly do: "cut"; readonly link: number }
  | { readonly do: "state"; readonly state: ClientState }
  | { readonly do: "announce"; readonly announcement: Announcement }
  | { readonly do: "warn"; readonly text: string };
