// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch } from "./chromium.js";
import { Harness } from "./harness.js";
import { gather, gathered } from "./watching.js";

const WORDS = 50_000;
const MINUTE = 60_000;

let harness: Harness;

beforeAll(async () => {
  harness = await Harness.start(launch, "longcall_demo:handlers");
});
afterAll(() => harness.stop());

test(
  "complaint 26: 50,000 words, each a chunk, through a reload, a crash, a dead network and the back button",
  async () => {
    const page = await harness.open();
    page.setDefaultTimeout(10 * MINUTE);
    const id = await page.evaluate(async (words) => {
      const { id } = await client.submit("stream_text", { words });
      return id;
    }, WORDS);
    await page.evaluate(gather, id);
    await gathered(page, 2_000);

    await page.reload();
    await harness.connect(page);
    await page.evaluate(gather, id); // from event 1
    await gathered(page, 8_000);

    await harness.server.kill();
    await harness.server.start();
    await gathered(page, 16_000);

    harness.wire.down();
    await page.context().setOffline(true);
    harness.wire.up();
    await page.context().setOffline(false);
    await gathered(page, 24_000);

    await page.goto(`${harness.site.origin}/other`);
    await harness.wire.opened(0);
    await page.evaluate(() => history.back());
    await gathered(page, WORDS + 1);

    const { words, chunks, sha256, digest } = await page.evaluate(async () => {
      const text = seen.slice(0, -1).map((chunk) => (chunk as { text: string }).text);
      const bytes = new TextEncoder().encode(text.join(""));
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      const digest = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      const result = seen.at(-1) as { words: number; chunks: number; sha256: string };
      return { ...result, digest };
    });
    expect({ words, chunks }).toEqual({ words: WORDS, chunks: WORDS });
    expect(digest, "each word once, in order").toBe(sha256);
    expect(await page.evaluate(() => pageEvents.at(-1))).toBe("pageshow true");
  },
  15 * MINUTE,
);
