// SPDX-License-Identifier: Apache-2.0
// The browser of the tests: the Chromium of the machine, as a user would have it.
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium, type LaunchOptions } from "playwright-core";

/**
 * What Playwright takes from a browser so that tests are quick, and what these tests are about:
 * pages in the back/forward cache, and timers of hidden pages that are held back.
 */
const TAKEN_AWAY = [
  "--disable-back-forward-cache",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

/** Starts Chromium without a window, with all that a user's has. */
export async function launch(options: LaunchOptions = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: found("chromium"),
    ignoreDefaultArgs: TAKEN_AWAY,
    chromiumSandbox: process.getuid?.() !== 0, // root has no sandbox to go to
    ...options,
  });
}

/** A screen that nobody sees, for what a browser without a window does not do. */
export class Screen {
  readonly #process: ChildProcess;
  readonly display: string;

  private constructor(process: ChildProcess, display: string) {
    this.#process = process;
    this.display = display;
  }

  /** Starts Xvfb, which chooses a number and tells it when it is ready. */
  static async start(): Promise<Screen> {
    const server = spawn(found("Xvfb"), ["-displayfd", "3", "-screen", "0", "1280x800x24"], {
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    const number = await new Promise<string>((resolve, reject) => {
      server.once("exit", (code) => reject(new Error(`Xvfb ended with ${code}`)));
      server.stdio[3]?.once("data", (data) => resolve(String(data).trim()));
    });
    return new Screen(server, `:${number}`);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill();
    await ended;
  }
}

/** Returns where a program is; throws what to install when it is not there. */
function found(program: string): string {
  const { PATH = "" } = process.env;
  for (const folder of PATH.split(delimiter)) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`${program} not found: install the packages of .ci/debian-packages.txt`);
}
