// SPDX-License-Identifier: Apache-2.0
import { afterEach, expect, test, vi } from "vitest";
import { browserSignals, type PageSignal } from "../src/page.js";
import { connected } from "./server.js";

/** Stands for a window: its events, its document, its navigator. */
class Surroundings {
  readonly #target = new EventTarget();
  readonly document = { visibilityState: "visible" };
  readonly navigator = { onLine: true };
  listeners = 0;

  constructor() {
    vi.stubGlobal("document", this.document);
    vi.stubGlobal("navigator", this.navigator);
    vi.stubGlobal(
      "addEventListener",
      (name: string, listener: EventListener, options: AddEventListenerOptions) => {
        this.listeners += 1;
        options.signal?.addEventListener("abort", () => {
          this.listeners -= 1;
        });
        this.#target.addEventListener(name, listener, options);
      },
    );
  }

  happens(name: string, more: object = {}): void {
    this.#target.dispatchEvent(Object.assign(new Event(name), more));
  }
}

function listen(): { told: PageSignal[]; stop: () => void } {
  const told: PageSignal[] = [];
  return { told, stop: browserSignals((signal) => told.push(signal)) };
}

afterEach(() => {
  vi.unstubAllGlobals();
});

test("a page tells how it stands, and what becomes of it", () => {
  const page = new Surroundings();
  page.document.visibilityState = "hidden";
  page.navigator.onLine = false;
  const { told } = listen();
  page.document.visibilityState = "visible";
  page.happens("visibilitychange");
  page.happens("online");
  page.happens("offline");
  expect(told).toEqual(["hidden", "offline", "visible", "online", "offline"]);
});

test("being loaded is nothing, and coming back is told", () => {
  const page = new Surroundings();
  const { told } = listen();
  page.happens("pageshow", { persisted: false });
  page.happens("pagehide", { persisted: false });
  page.happens("pagehide", { persisted: true });
  page.happens("pageshow", { persisted: true });
  expect(told).toEqual(["visible", "pagehide", "pagehide", "pageshow"]);
});

test("a worker, which has no document, tells of the network only", () => {
  const worker = new Surroundings();
  vi.stubGlobal("document", undefined);
  const { told } = listen();
  worker.happens("online");
  expect(told).toEqual(["online"]);
});

test("where there are no events, nothing is told", () => {
  vi.stubGlobal("addEventListener", undefined);
  const { told, stop } = listen();
  stop();
  expect(told).toEqual([]);
});

test("a client that is closed listens to the page no more", async () => {
  const page = new Surroundings();
  const { client } = await connected();
  expect(page.listeners).toBeGreaterThan(0);
  await client.close();
  expect(page.listeners).toBe(0);
});

test("so does one that the server told to stop", async () => {
  const page = new Surroundings();
  const { client, peer } = await connected();
  await client.ready();
  peer.close(4403);
  for await (const { state } of client.states()) if (state === "closed") break;
  expect(page.listeners).toBe(0);
});

test("complaint 26: a page that is left has no socket, and one again when it comes back", async () => {
  let tell: (signal: PageSignal) => void = () => {};
  const { client, peer, server } = await connected({
    page: (listener) => {
      tell = listener;
      return () => {};
    },
  });
  await client.ready();
  const handle = client.attach("a");
  expect(await peer.next()).toMatchObject({ type: "attach", after_seq: 0 });
  tell("pagehide");
  expect(client.state).toMatchObject({ state: "reconnecting", reason: "the page was left" });
  await peer.closed;
  tell("pageshow");
  const again = await server.welcomed();
  expect(await again.next()).toMatchObject({ type: "attach", request_id: "a", after_seq: 0 });
  handle.detach();
});
