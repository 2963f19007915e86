// SPDX-License-Identifier: Apache-2.0
import { connect } from "longcall";
import { Card } from "./card.js";

const JOBS = {
  report: ["generate_report", { format: "pdf", report_type: "monthly" }, "Report"],
  workbook: ["generate_report", { format: "xlsx", report_type: "quarterly" }, "Workbook"],
  text: ["stream_text", { words: 600, words_per_second: 20 }, "Text"],
};

const address = new URL("/v1/connect", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const client = connect(address, {
  // Asked for at each connect, and again before the token expires.
  token: async () => (await fetch("/token")).text(),
  onState: showConnection,
});

// What this tab has started: all that a reload needs is the ids.
const kept = new Map(JSON.parse(sessionStorage.getItem("requests") ?? "[]"));

function keep() {
  sessionStorage.setItem("requests", JSON.stringify([...kept]));
  document.querySelector("#none").hidden = kept.size > 0;
}

function forget(id) {
  kept.delete(id);
  keep();
}

document.querySelector("#start").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [action, payload, title] = JOBS[event.submitter.value];
  const id = crypto.randomUUID();
  const card = new Card(id, title, () => forget(id));
  document.querySelector("#none").hidden = true;
  try {
    // Resolves when the server has stored it; offline, that waits until there is a network.
    const handle = await client.submit(action, payload, { id });
    kept.set(id, title);
    keep();
    await card.follow(handle);
  } catch (error) {
    card.end(error);
  }
});

for (const [id, title] of kept) {
  new Card(id, title, () => forget(id)).follow(client.attach(id));
}
keep();

function showConnection({ state }) {
  const shown = document.querySelector("#connection");
  shown.dataset.state = state;
  shown.textContent = navigator.onLine || state === "ready" ? state : "offline";
}
