// SPDX-License-Identifier: Apache-2.0
// The browser of the tests: the Chromium of the machine, as a user would have it.
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type Browser, type BrowserContext, chromium } from "playwright-core";

/** A browser, and what ends it. */
export interface RunningBrowser {
  readonly browser: Browser;
  /** Returns where the tabs of a test are. */
  context(): Promise<BrowserContext>;
  stop(): Promise<void>;
}

// Root has no sandbox to go to.
const IS_ROOT = process.getuid?.() === 0;

/**
 * Starts Chromium with a profile for each test, and with all that Playwright takes from a browser so
 * that tests are quick, and that these tests are about. Each tab takes itself for the one in front.
 */
export async function launch(): Promise<RunningBrowser> {
  const own = ownFolder();
  const browser = await chromium.launch({
    executablePath: found("chromium"),
    env: own.env,
    chromiumSandbox: !IS_ROOT,
    ignoreDefaultArgs: [
      "--disable-back-forward-cache",
      "--disable-background-timer-throttling",
      "--disable-backgrounding-occluded-windows",
      "--disable-renderer-backgrounding",
    ],
  });
  return {
    browser,
    context: () => browser.newContext(),
    stop: async () => {
      await browser.close();
      own.remove();
    },
  };
}

/**
 * Starts Chromium with one window, where a tab is hidden when another one is in front. Playwright may
 * only watch: of each page that it manages itself it says that it is seen.
 *
 * @param throttleAfterSeconds - how long a page is hidden before its timers come once a minute;
 *   300 for users.
 */
export async function launchWindow(throttleAfterSeconds: number): Promise<RunningBrowser> {
  const own = ownFolder();
  const child = spawn(
    found("chromium"),
    [
      "--headless=new",
      "--no-first-run",
      "--remote-debugging-port=0",
      `--user-data-dir=${join(own.folder, "profile")}`,
      `--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/${throttleAfterSeconds}`,
      ...(IS_ROOT ? ["--no-sandbox"] : []),
      "about:blank",
    ],
    { stdio: ["ignore", "ignore", "pipe"], env: own.env },
  );
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const endpoint = await new Promise<string>((resolve, reject) => {
    let told = "";
    child.once("exit", () => reject(new Error(`chromium ended:\n${told}`)));
    child.stderr.on("data", (data) => {
      told += data;
      const [, address] = /^DevTools listening on (ws:\S+)/m.exec(told) ?? [];
      if (address !== undefined) resolve(address);
    });
  });
  const browser = await chromium.connectOverCDP(endpoint, { noDefaults: true });
  const [context] = browser.contexts();
  if (context === undefined) throw new Error("chromium has no profile");
  return {
    browser,
    context: async () => context,
    stop: async () => {
      await browser.close();
      child.kill();
      await ended;
      own.remove();
    },
  };
}

/** Makes the folder of all that a browser writes: what it has in the one for temporary files, too. */
function ownFolder() {
  const folder = mkdtempSync(join(tmpdir(), "longcall-chromium-"));
  return {
    folder,
    env: { ...process.env, TMPDIR: folder } as { [name: string]: string },
    // Its other processes end a moment later, and may still write.
    remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }),
  };
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
