// SPDX-License-Identifier: Apache-2.0
// What a page sees of a request, kept in the page.
import type { Page } from "playwright-core";

declare global {
  /** The chunks that came, and at last the result or what was thrown. */
  var seen: unknown[];
}

/** Runs in a page: follows a request, from event 1. */
export function gather(id: string): void {
  const seen: unknown[] = [];
  globalThis.seen = seen;
  void (async () => {
    const handle = client.attach(id);
    try {
      for await (const event of handle) if (event.kind === "chunk") seen.push(event.data);
      seen.push(await handle.result());
    } catch (error) {
      seen.push(String(error));
    }
  })();
}

/** Waits until a page has seen so much. */
export async function gathered(page: Page, count: number): Promise<void> {
  // Looked at from here: a page that is hidden, or asleep, has no frames to look in.
  await page.waitForFunction((count) => globalThis.seen?.length >= count, count, { polling: 100 });
}
