// SPDX-License-Identifier: Apache-2.0
// A whole program against the server of platforms.ts; it prints what it saw, and must end by itself.
import { connect, RequestError } from "longcall";

/** Runs it; `webSocket` is the class of sockets where there is no global one. */
export async function smoke(url, webSocket) {
  const states = [];
  const client = connect(url, {
    token: async () => "token",
    backoffInitialMs: 1,
    onState: ({ state }) => states.push(state),
    ...(webSocket && { webSocket }),
  });
  const echoed = await client.call("echo", { text: "é😀" });
  const refused = await client.call("refuse").catch((error) => error);
  const events = [];
  const handle = await client.submit("report");
  for await (const event of handle) events.push(event.kind === "status" ? event.status : event.seq);
  const result = await handle.result();
  const file = await (await handle.download("report.csv")).text();
  await client.close();
  const isTyped = refused instanceof RequestError && refused.name === "ForbiddenError";
  console.log(JSON.stringify({ echoed, isTyped, events, result, file, states }));
}
