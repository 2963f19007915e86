// SPDX-License-Identifier: Apache-2.0
// The page of examples/browser, served as its README says, used as its reader would.
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, type RunningBrowser } from "./chromium.js";

let serve: ChildProcess;
let address: string;
let running: RunningBrowser;

beforeAll(async () => {
  const child = spawn(process.execPath, ["examples/browser/serve.mjs"], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { ...process.env, PORT: "0" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  serve = child;
  address = await new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (data) => {
      said += data;
    });
    child.stdout.once("data", (data) => resolve(String(data).trim()));
    child.once("exit", (code) => reject(new Error(`serve.mjs ended with ${code}:\n${said}`)));
  });
  running = await launch();
});

afterAll(async () => {
  await running.stop();
  const ended = new Promise((resolve) => serve.once("exit", resolve));
  serve.kill();
  await ended;
});

async function open(): Promise<Page> {
  const page = await (await running.context()).newPage();
  await page.goto(address);
  return page;
}

/** Starts a job; returns its card. */
async function start(page: Page, job: string, title: string) {
  await page.click(`button[value=${job}]`);
  return page.locator("#requests > li", { has: page.getByRole("heading", { name: title }) });
}

test("complaint 26: what was started is there again after a reload, bar and text", async () => {
  const page = await open();
  const card = await start(page, "text", "Text");
  const bar = card.locator("progress");
  await expect.poll(() => bar.getAttribute("value"), { timeout: 30_000 }).not.toBeNull();
  const [before, text] = [
    await bar.evaluate(percentage),
    await card.locator(".text").textContent(),
  ];

  await page.reload();
  await expect.poll(() => card.locator(".status").textContent()).toBe("processing");
  await expect.poll(() => bar.evaluate(percentage)).toBeGreaterThanOrEqual(before);
  await expect.poll(() => card.locator(".text").textContent()).toContain(text ?? "no text");

  await card.getByRole("button", { name: "Cancel" }).click();
  await expect.poll(() => card.locator(".status").textContent()).toBe("cancelled");
  expect(await page.locator("#news").textContent()).toBe("Text: cancelled");

  await page.reload(); // what has ended is there as well, from the server
  await expect.poll(() => card.locator(".status").textContent()).toBe("cancelled");
  expect(await page.locator("#requests > li").count()).toBe(1);
});

test("a file that is finished is downloaded, whole", async () => {
  const page = await open();
  const card = await start(page, "workbook", "Workbook");
  const button = card.getByRole("button", { name: "Download" });
  await button.waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  expect(download.suggestedFilename()).toMatch(/\.xlsx$/);
  const digest = createHash("sha256");
  for await (const part of createReadStream(await download.path())) digest.update(part);
  const [name] = (await card.locator(".message").textContent())?.split(",") ?? [];
  const path = `${await card.locator("code").textContent()}/files/${name}`;
  const etag = await page.evaluate(async (path) => {
    const token = await (await fetch("/token")).text();
    const { headers } = await fetch(`/v1/requests/${path}`, {
      method: "HEAD",
      headers: { authorization: `Bearer ${token}` },
    });
    return headers.get("etag");
  }, path);
  expect(etag).toBe(`"${digest.digest("hex")}"`);
});

function percentage(bar: Element): number {
  return (bar as HTMLProgressElement).value;
}
