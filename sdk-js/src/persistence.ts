// SPDX-License-Identifier: Apache-2.0
import type { Connection } from "./connection.js";
import type { Settings } from "./options.js";
import type { Protocol } from "./protocol/protocol.js";

/** What remembers the requests of one client beyond its page; `longcall/persist` makes it. */
export interface Persistence {
  /** Gives a connection, which is being made, its protocol. @internal */
  protocolOf(connection: Connection, settings: Settings): Protocol;
}
