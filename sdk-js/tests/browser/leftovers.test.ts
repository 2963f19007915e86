// SPDX-License-Identifier: Apache-2.0
// What starts a browser removes what the browser wrote: its profile, and its temporary files.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import { launch, launchWindow } from "./chromium.js";

const DRIVER = fileURLToPath(
  new URL("../../../conformance-tests/drivers/browser/launch.mjs", import.meta.url),
);

let temporary: string;

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), "longcall-leftovers-"));
  vi.stubEnv("TMPDIR", temporary);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(temporary, { recursive: true, force: true, maxRetries: 10 });
});

test.each([
  ["launch", launch],
  ["launchWindow", () => launchWindow(300)],
] as const)("%s of these tests leaves nothing", async (_name, start) => {
  const running = await start();
  const page = await (await running.context()).newPage();
  await page.goto("data:text/html,<title>here</title>");
  expect(readdirSync(temporary)).not.toEqual([]);
  await running.stop();
  expect(readdirSync(temporary)).toEqual([]);
});

describe("the launcher of the conformance driver leaves nothing", () => {
  test.each([
    ["when its runner is gone", 0],
    ["when it is asked to end", 143],
  ])("%s", async (_name, wanted) => {
    const runner = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(runner, "listening");
    const { port } = runner.address() as AddressInfo;
    const driver = spawn(process.execPath, [DRIVER, `ws://127.0.0.1:${port}`], { stdio: "ignore" });
    const ended = once(driver, "exit");
    const [socket] = await once(runner, "connection");
    expect(readdirSync(temporary)).not.toEqual([]);
    if (wanted === 0) socket.close();
    else driver.kill("SIGTERM");
    expect(await ended).toEqual([wanted, null]);
    expect(readdirSync(temporary)).toEqual([]);
    runner.close();
  });
});
