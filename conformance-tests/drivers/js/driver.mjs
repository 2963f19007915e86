// SPDX-License-Identifier: Apache-2.0
// The conformance driver of the JavaScript SDK in Node.js; commands.mjs is what it does.
import { createRequire } from "node:module";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";
import { begin, take } from "./commands.mjs";

// The SDK that is built in this checkout, and the socket that it is tested with.
const SDK = new URL("../../../sdk-js/", import.meta.url);
const longcall = await import(new URL("dist/index.js", SDK).href);
const { WebSocket } = createRequire(SDK)("ws");

// Standard input and output, or with `--connect HOST:PORT` a connection to there.
const [, , option, address = ""] = process.argv;
const [host, port] = address.split(":");
const peer = option === "--connect" ? createConnection(Number(port), host) : undefined;

/** What is left behind: sockets and timers of the process. */
function leaks() {
  const watched = ["TCPSocketWrap", "TCPConnectWrap", "Timeout", "GetAddrInfoReqWrap"];
  const resources = process.getActiveResourcesInfo().filter((name) => watched.includes(name));
  if (peer) resources.splice(resources.indexOf("TCPSocketWrap"), 1); // the runner's own
  return resources;
}

// Nothing in Node.js tells that there is a network: whoever has such news passes them as `page`.
const listeners = new Set();

begin(longcall, {
  language: `Node.js ${process.versions.node}`,
  features: ["http_status"],
  webSocket: WebSocket,
  page: (tell) => {
    listeners.add(tell);
    return () => listeners.delete(tell);
  },
  net: (state) => {
    for (const tell of listeners) tell(state);
  },
  write: (message) => (peer ?? process.stdout).write(`${JSON.stringify(message)}\n`),
  log: console.error,
  leaks,
  turn: setImmediate,
});

for await (const line of createInterface({ input: peer ?? process.stdin })) {
  const message = JSON.parse(line);
  const done = take(message);
  if (message.cmd !== "bye") continue;
  await done;
  break;
}
// The runner keeps its end open; nothing else may hold this process.
(peer ?? process.stdin).destroy();
