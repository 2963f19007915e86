// SPDX-License-Identifier: Apache-2.0
// What the programs of platforms.test.ts talk to, and how they are run.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  acknowledgment,
  chunk,
  complete,
  processing,
  progress,
  refusal,
  snapshotMessage,
  type Wire,
} from "../protocol/bench.js";
import { type Peer, TestServer } from "../server.js";
import { ROOT } from "./pack.js";

interface Asked extends Wire {
  readonly action?: string;
  readonly payload?: unknown;
}

const FILE = "a,b\n1,2\n";
const installed = (name: string) => join(ROOT, "tests/platforms/node_modules/.bin", name);

/** How each platform runs a module of the folder that it is started in. */
export const PLATFORMS: Readonly<Record<string, readonly string[]>> = {
  "Node.js 22": [installed("node")],
  Deno: [installed("deno"), "run", "--no-lock", "--no-prompt", "--allow-net", "--allow-env"],
  Bun: [installed("bun"), "run"],
};

/** A server that answers `echo`, refuses `refuse`, and loses the connection in any other request. */
export async function startServer(): Promise<TestServer> {
  const server = await TestServer.start();
  server.answer = (_request, response) => {
    const digest = createHash("sha256").update(FILE).digest("hex");
    response.setHeader("etag", `"${digest}"`).end(FILE);
  };
  const serve = async () => {
    for (;;) void answer(await server.welcomed());
  };
  void serve();
  return server;
}

async function answer(peer: Peer): Promise<never> {
  for (;;) {
    const message = (await peer.next()) as Asked;
    if (message.type === "attach") {
      const id = String(message.request_id);
      peer.send(snapshotMessage(id, { last_seq: 3 }), chunk(id, 4, ["row 2"]), complete(id, 5));
    } else if (message.action === "echo") {
      peer.send({ type: "response", request_id: message.id, result: message.payload });
    } else if (message.action === "refuse") {
      peer.send(refusal("request", String(message.id), "FORBIDDEN"));
    } else if (message.type === "request") {
      const id = String(message.id);
      peer.send(acknowledgment(id), processing(id, 2), progress(id, 1), chunk(id, 3, ["row 1"]), {
        type: "ping",
      });
      while ((await peer.next()).type !== "pong"); // it has read all
      peer.drop();
    }
  }
}

/** Runs a program to its end, which it must come to by itself, and returns what it printed. */
export async function runProgram(
  [program = "", ...words]: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(program, words, {
    cwd,
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1", DENO_DIR: join(cwd, ".deno"), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      said[stream] += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { code, ...said };
}
