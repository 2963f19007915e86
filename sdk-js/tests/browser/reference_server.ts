// SPDX-License-Identifier: Apache-2.0
// The reference server, on a port of its own, with any handlers.
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** One server, from its first readiness to its end; it may be killed and started again between. */
export class ReferenceServer {
  readonly #folder = mkdtempSync(join(tmpdir(), "longcall-browser-"));
  readonly #secret = randomBytes(32).toString("base64url");
  readonly #origins: string;
  #process: ChildProcess | undefined;
  #log = "";
  port = 0;

  private constructor(
    origins: string,
    readonly handlers: string,
  ) {
    this.#origins = origins;
  }

  /** Starts a server that lets pages of this origin connect; returns when it is ready. */
  static async start(origin: string, handlers: string): Promise<ReferenceServer> {
    const server = new ReferenceServer(origin, handlers);
    await server.start();
    return server;
  }

  /** Starts it; after a `stop` or `kill`, on the same port with the same data. */
  async start(): Promise<void> {
    const ready = join(this.#folder, "ready.json");
    rmSync(ready, { force: true });
    const appeared = new Promise<void>((resolve) => {
      const watcher = watch(this.#folder, (_event, name) => {
        if (name !== "ready.json") return;
        watcher.close();
        resolve();
      });
    });
    const child = spawn(
      join(ROOT, ".venv/bin/longcall-server"),
      ["serve", this.handlers, "--host", "127.0.0.1", "--port", String(this.port)].concat([
        "--data-dir",
        join(this.#folder, "data"),
        "--ready-file",
        ready,
      ]),
      {
        env: {
          ...process.env,
          LONGCALL_JWT_SECRET: this.#secret,
          LONGCALL_ALLOWED_ORIGINS: this.#origins,
          LONGCALL_CONF_DIR: this.#folder,
          PYTHONPATH: join(ROOT, "conformance-tests/handlers"),
        },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => {
        this.#log = `${this.#log}${data}`.slice(-4_000);
      });
    }
    const ended = new Promise<never>((_resolve, reject) => {
      child.once("exit", (code) =>
        reject(new Error(`the server ended with ${code}:\n${this.#log}`)),
      );
    });
    ended.catch(() => {}); // later it is stopped
    await Promise.race([appeared, ended]);
    this.port = Number(new URL(JSON.parse(readFileSync(ready, "utf8")).url).port);
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends it, and removes its data. */
  async stop(): Promise<void> {
    await this.#end("SIGKILL"); // its drain would wait for requests that nobody wants any more
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Returns a token of a user who may request anything. */
  token(sub = "alice", lifeSeconds = 3_600): string {
    const now = Math.floor(Date.now() / 1_000);
    const claims = {
      sub,
      tenant_id: "tests",
      permissions: ["request:*"],
      iat: now,
      exp: now + lifeSeconds,
    };
    const head = [{ alg: "HS256", typ: "JWT" }, claims].map((part) =>
      Buffer.from(JSON.stringify(part)).toString("base64url"),
    );
    const signed = head.join(".");
    return `${signed}.${createHmac("sha256", this.#secret).update(signed).digest("base64url")}`;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }
}
