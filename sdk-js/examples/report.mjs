// SPDX-License-Identifier: Apache-2.0
// Runs a report: its rows as they come, its progress on standard error, its result at the end.
//
//   LONGCALL_URL=ws://127.0.0.1:8765/v1/connect LONGCALL_TOKEN=… node report.mjs \
//     '{"format":"csv","report_type":"monthly"}'
//
// Every row is one line of canonical JSON, so that the examples of all languages print the same.
import { canonicalJson, connect } from "longcall";

const [payload = '{"format":"csv","report_type":"monthly"}'] = process.argv.slice(2);
const { LONGCALL_URL: url, LONGCALL_TOKEN: token } = process.env;
if (!url || !token) throw new Error("set LONGCALL_URL and LONGCALL_TOKEN");

// Node.js 20 has no WebSocket of its own; Node.js 22, Deno, Bun and browsers have.
const webSocket = globalThis.WebSocket ?? (await import("ws")).default;
const client = connect(url, { token, webSocket });
try {
  const handle = await client.submit("generate_report", JSON.parse(payload));
  console.error("request", handle.id);
  for await (const event of handle) {
    if (event.kind === "chunk") for (const row of event.data) console.log(canonicalJson(row));
    else if (event.kind === "progress") {
      console.error("progress", event.percentage, event.message ?? "");
    } else console.error(event.status, event.attempt);
  }
  console.log("result", canonicalJson(await handle.result()));
} finally {
  await client.close();
}
