// SPDX-License-Identifier: Apache-2.0
import { connect } from "longcall";
import { persistence } from "longcall/persist";
import { Card } from "./card.js";

const JOBS = {
  report: ["generate_report", { format: "pdf", report_type: "monthly" }, "Report"],
  workbook: ["generate_report", { format: "xlsx", report_type: "quarterly" }, "Workbook"],
  text: ["stream_text", { words: 600, words_per_second: 20 }, "Text"],
};
const TITLES = { generate_report: "Report", stream_text: "Text" };
const EARLIER = 6; // of those that have ended, the newest

const address = new URL("/v1/connect", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const persist = persistence(); // what has not ended is there again after a reload
const client = connect(address, {
  // Asked for at each connect, and again before the token expires.
  token: async () => (await fetch("/token")).text(),
  onState: showConnection,
  persist,
});

document.querySelector("#start").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [action, payload, title] = JOBS[event.submitter.value];
  const card = new Card(title);
  try {
    // Resolves when the server has stored it; offline, that waits until there is a network.
    await card.follow(await client.submit(action, payload, { metadata: { title } }));
  } catch (error) {
    card.end(error);
  }
});

/** Shows what is on the server already: what has ended, and on top what goes on. */
async function restore() {
  const unfinished = await persist.restored();
  const ended = [];
  for await (const summary of client.requests({ status: ["completed", "failed", "cancelled"] })) {
    if (ended.length === EARLIER) break;
    if (summary.action in TITLES) ended.push(summary);
  }
  for (const { id, action } of ended.reverse()) {
    new Card(TITLES[action]).follow(client.attach(id));
  }
  for (const { handle, metadata } of unfinished) new Card(metadata.title).follow(handle);
}

function showConnection({ state }) {
  const shown = document.querySelector("#connection");
  shown.dataset.state = state;
  shown.textContent = navigator.onLine || state === "ready" ? state : "offline";
}

restore();
