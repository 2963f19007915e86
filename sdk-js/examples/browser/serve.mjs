// SPDX-License-Identifier: Apache-2.0
// Serves the page, and all that it needs, at one address:
//
//   node serve.mjs            then open the address that it prints (PORT=8080, or another)
//
// It starts a longcall server of its own with the demonstration handlers, gives each page that asks a
// token, as an application's own backend would, and passes /v1 on to the server, as a reverse proxy
// would: so the page and the server have one origin. When it ends, so does the server.
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL("./", import.meta.url));
const SDK = fileURLToPath(new URL("../../dist/", import.meta.url));
const CHECKOUT = fileURLToPath(new URL("../../../.venv/bin/longcall-server", import.meta.url));
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript" };
const LIFE_SECONDS = 300;

const secret = randomBytes(32).toString("base64url");
const folder = mkdtempSync(join(tmpdir(), "longcall-page-"));
const { port: upstream, stop } = await startServer();

const site = createServer((asked, answer) => {
  const { pathname } = new URL(asked.url, "http://page");
  if (pathname.startsWith("/v1/")) pass(asked, answer);
  else if (pathname === "/token") answer.end(token());
  else send(pathname === "/" ? "/index.html" : pathname, answer);
});
site.on("upgrade", upgrade);
site.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${site.address().port}/`);
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);

/** Sends a file of the page or of the SDK. */
function send(path, answer) {
  const [root, name] = path.startsWith("/longcall/")
    ? [SDK, path.slice(10)]
    : [HERE, path.slice(1)];
  const type = TYPES[extname(name)];
  const file = join(root, name);
  if (type === undefined || !file.startsWith(root) || !existsSync(file)) {
    answer.writeHead(404).end();
    return;
  }
  answer.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(readFileSync(file));
}

/** Passes a request on to the server. */
function pass(asked, answer) {
  const { method, url: path, headers } = asked;
  const passed = request({ host: "127.0.0.1", port: upstream, method, path, headers }, (given) => {
    answer.writeHead(given.statusCode, given.headers);
    given.pipe(answer);
  });
  passed.on("error", () => answer.writeHead(502).end());
  asked.pipe(passed);
}

/** Passes a WebSocket on to the server, head and all. */
function upgrade(asked, socket, rest) {
  const server = connect(upstream, "127.0.0.1", () => {
    const lines = [`GET ${asked.url} HTTP/1.1`];
    for (let index = 0; index < asked.rawHeaders.length; index += 2) {
      lines.push(`${asked.rawHeaders[index]}: ${asked.rawHeaders[index + 1]}`);
    }
    server.write(`${lines.join("\r\n")}\r\n\r\n`);
    server.write(rest);
    server.pipe(socket).pipe(server);
  });
  server.on("error", () => socket.destroy());
  socket.on("error", () => server.destroy());
}

/** Makes a token for the one user that there is. */
function token() {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    sub: "visitor",
    tenant_id: "demo",
    permissions: ["request:*"],
    iat: now,
    exp: now + LIFE_SECONDS,
  };
  const signed = [{ alg: "HS256", typ: "JWT" }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** Starts the server on a free port; returns when it says that it is ready. */
async function startServer() {
  const ready = join(folder, "ready.json");
  const program = existsSync(CHECKOUT) ? CHECKOUT : "longcall-server";
  const child = spawn(
    program,
    ["serve", "longcall_demo:handlers", "--host", "127.0.0.1", "--port", "0"].concat([
      "--data-dir",
      join(folder, "data"),
      "--ready-file",
      ready,
    ]),
    {
      env: { ...process.env, LONGCALL_JWT_SECRET: secret },
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.once("error", () =>
    console.error(`${program} not found: pip install ./server ./server/examples`),
  );
  void ended.then((code) => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(code ?? 0);
  });
  while (!existsSync(ready)) await new Promise((resolve) => setTimeout(resolve, 50));
  const { port } = new URL(JSON.parse(readFileSync(ready, "utf8")).url);
  return { port: Number(port), stop: () => child.kill() };
}
