// SPDX-License-Identifier: Apache-2.0
// Makes the pictures of the README, of the page in examples/browser in mid-flight: light, dark, narrow.
//
//   node scripts/screenshots.mjs [FOLDER]          (default: ../docs/images)
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const PICTURES = {
  "browser-light": { colorScheme: "light", viewport: { width: 920, height: 840 } },
  "browser-dark": { colorScheme: "dark", viewport: { width: 920, height: 840 } },
  "browser-narrow": { colorScheme: "light", viewport: { width: 390, height: 844 } },
};

const [, , folder = fileURLToPath(new URL("../../docs/images", import.meta.url))] = process.argv;
const serve = spawn(process.execPath, ["examples/browser/serve.mjs"], {
  cwd: fileURLToPath(new URL("..", import.meta.url)),
  env: { ...process.env, PORT: "0" },
  stdio: ["ignore", "pipe", "inherit"],
});
const address = await new Promise((resolve) => {
  serve.stdout.once("data", (data) => resolve(String(data).trim()));
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  chromiumSandbox: process.getuid?.() !== 0,
});

/** Starts a job, and waits until its card shows what is wanted. */
async function start(page, job, seen) {
  await page.click(`button[value=${job}]`);
  const card = page.locator("#requests > li").first();
  await page.waitForFunction(seen, await card.elementHandle());
  return card;
}

const status = (wanted) =>
  new Function("item", `return item.querySelector(".status").textContent === "${wanted}"`);
const percent = (wanted) =>
  new Function("item", `return item.querySelector("progress").value >= ${wanted}`);

try {
  for (const [name, { viewport, colorScheme }] of Object.entries(PICTURES)) {
    const page = await browser.newPage({ viewport, colorScheme, deviceScaleFactor: 1.5 });
    await page.goto(address);
    await start(page, "workbook", status("completed"));
    const unwanted = await start(page, "text", percent(4));
    await unwanted.locator(".cancel").click();
    await unwanted.locator(".cancel").waitFor({ state: "hidden" });
    await start(page, "text", percent(10));
    await start(page, "report", percent(35));
    await page.mouse.move(0, 0);
    await page.screenshot({ path: `${folder}/${name}.png`, animations: "disabled" });
    await page.context().close();
  }
} finally {
  await browser.close();
  serve.kill();
}
