// SPDX-License-Identifier: Apache-2.0
// Starts Chromium with the page that is the driver, and ends with it. The page talks to the runner by a
// WebSocket of its own; nobody drives the browser.
//
//   node launch.mjs ws://HOST:PORT                 Chromium, without a window
//   node launch.mjs ws://HOST:PORT --print         no browser: prints the address for one of yours
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The origin of the page, always the same: a server under test is told it in its manifest. */
const ORIGIN = "http://conformance.test";

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>longcall conformance</title>
<link rel="icon" href="data:,"><script type="module" src="/browser/page.mjs"></script></html>`;

const FOLDERS = {
  browser: new URL("./", import.meta.url),
  js: new URL("../js/", import.meta.url),
  sdk: new URL("../../../sdk-js/dist/", import.meta.url),
};

const [, , runner, how] = process.argv;

/** Returns what is at a path: the page, or a module of one of the folders. */
function content(path) {
  if (path === "/") return ["text/html", PAGE];
  const [, folder, ...names] = path.split("/");
  const isModule = [".js", ".mjs"].includes(extname(path)) && !names.includes("..");
  if (!isModule || !Object.hasOwn(FOLDERS, folder)) return undefined;
  const file = fileURLToPath(new URL(names.join("/"), FOLDERS[folder]));
  return existsSync(file) ? ["text/javascript", readFileSync(file)] : undefined;
}

const site = createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  if (request.url === "/log") console.error(body);
  if (request.method === "POST") response.writeHead(204).end();
  else {
    const [type, text] = content(request.url) ?? [];
    if (text === undefined) console.error(`there is no ${request.url}`);
    response.writeHead(text === undefined ? 404 : 200, { "content-type": type ?? "text/plain" });
    response.end(text);
  }
  if (request.url === "/end") end(0);
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
const { port } = site.address();

let end = (code) => process.exit(code);
if (how === "--print") console.error(`open http://127.0.0.1:${port}/#${runner}`);
else launch();

function launch() {
  const profile = mkdtempSync(join(tmpdir(), "longcall-driver-"));
  const chromium = spawn(
    "chromium",
    [
      "--headless=new",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      `--user-data-dir=${profile}`,
      `--host-resolver-rules=MAP ${new URL(ORIGIN).host}:80 127.0.0.1:${port}`,
      // Nobody talks over this pipe. When this process ends, in whatever way, so does Chromium.
      "--remote-debugging-pipe",
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      `${ORIGIN}/#${runner}`,
    ],
    {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], // it complains of what servers lack
      env: { ...process.env, TMPDIR: profile }, // killed, it removes nothing of what it has there
      detached: true, // its processes are a group
    },
  );
  let ending;
  chromium.once("exit", (code, signal) => {
    killGroup(chromium.pid); // if it ended by itself
    try {
      // Its other processes end a moment later, and may still write.
      rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    } catch (error) {
      console.error(`${profile} is left: ${error.message}`);
    }
    if (ending === undefined) console.error(`chromium ended by itself: ${code ?? signal}`);
    process.exit(ending ?? 1);
  });
  end = (code) => {
    ending = code;
    killGroup(chromium.pid); // nothing of it is wanted, least of all what it would write at its end
  };
  for (const [signal, number] of [
    ["SIGHUP", 1],
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ]) {
    process.once(signal, () => end(128 + number));
  }
}

function killGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error; // all have ended
  }
}
