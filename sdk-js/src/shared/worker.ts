// SPDX-License-Identifier: Apache-2.0
/**
 * The script of a SharedWorker: what tabs that connect by `longcall/shared` have in common.
 *
 * @packageDocumentation
 */
import { Hub } from "./hub.js";
import { type Channel, portOf } from "./port.js";

const hub = new Hub();

(globalThis as { onconnect?: (event: { readonly ports: readonly Channel[] }) => void }).onconnect =
  ({ ports: [port] }) => {
    if (port !== undefined) hub.add(portOf(port));
  };
