// SPDX-License-Identifier: Apache-2.0
// What a component sees; each version of React plays it.
import type * as ReactModule from "react";
import type { Root } from "react-dom/client";
import { beforeEach, describe, expect, test } from "vitest";
import { type Client, NotFoundError, type RequestHandle } from "../../src/index.js";
import { type Submission, useRequest, useSubmit } from "../../src/react/index.js";
import type { RequestState } from "../../src/react/store.js";
import { InMemoryServer } from "../../src/testing/index.js";
import { cleanups } from "../cleanup.js";

interface Dom {
  createRoot(container: Element): Root;
  renderToString(element: ReactModule.ReactNode): string;
}

/** Plays all tests with one version of React. */
export function suite(version: string, React: typeof ReactModule, dom: Dom): void {
  const { act, createElement, StrictMode } = React;
  let server: InMemoryServer;
  let client: Client;
  let root: Root;
  let states: RequestState[];

  beforeEach(() => {
    Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
    server = new InMemoryServer();
    client = server.connect();
    states = [];
    root = dom.createRoot(document.createElement("div"));
    cleanups.push(async () => {
      await act(async () => root.unmount());
      Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: false });
      await client.close();
      server.stop();
    });
  });

  /** Lets everything happen that is on its way. */
  const settle = () =>
    act(async () => {
      await server.clock.settle();
      await new Promise((resolve) => setTimeout(resolve, 1)); // states come by a timer
      await server.clock.settle();
    });

  const Watching = ({ request }: { request: string | RequestHandle | undefined }) => {
    states.push(useRequest(client, request));
    return null;
  };

  const show = (element: ReactModule.ReactNode) => act(async () => root.render(element));
  const strict = (element: ReactModule.ReactNode) => createElement(StrictMode, null, element);
  const last = () => states.at(-1);

  describe(`${version}: useRequest`, () => {
    test("shows how a request goes, and its end", async () => {
      server.on("report");
      const { id } = await client.submit("report");
      const request = server.request(id);
      await show(createElement(Watching, { request: id }));
      await settle();
      expect(last()).toMatchObject({ status: "queued", attempt: 0, chunks: [], isFinished: false });
      request.progress({ percentage: 40 });
      request.chunk("a");
      request.chunk("b");
      await settle();
      expect(last()).toMatchObject({ status: "processing", attempt: 1, chunks: ["a", "b"] });
      expect(last()?.progress?.percentage).toBe(40);
      request.complete({ rows: 2 });
      await settle();
      expect(last()).toMatchObject({ isFinished: true, result: { rows: 2 }, error: undefined });
      expect(new Set(states).size).toBeLessThan(10);
    });

    test("shows what went wrong", async () => {
      await show(createElement(Watching, { request: "nothing" }));
      await settle();
      expect(last()?.isFinished).toBe(true);
      expect(last()?.error).toBeInstanceOf(NotFoundError);
      await show(createElement(Watching, { request: ".." }));
      expect(last()?.error).toMatchObject({ code: "VALIDATION_ERROR" });
    });

    test("drops the chunks of an attempt that was lost", async () => {
      server.on("report");
      const { id } = await client.submit("report");
      await show(createElement(Watching, { request: id }));
      const request = server.request(id);
      request.chunk("a", { checkpoint: true });
      request.chunk("b");
      request.retry();
      request.chunk("c");
      await settle();
      expect(last()).toMatchObject({ attempt: 2, chunks: ["a", "c"] });
    });

    test("is one stream however many components watch, and none when they are gone", async () => {
      server.on("report");
      const handle = await client.submit("report");
      const two = [1, 2].map((key) => createElement(Watching, { key, request: handle }));
      await show([...two, createElement(Watching, { key: 3, request: handle.id })]);
      await settle();
      expect(server.streams()).toBe(1);
      server.request(handle.id).chunk("a");
      await settle();
      expect(states.slice(-2).map(({ chunks }) => chunks)).toEqual([["a"], ["a"]]);
      await show(null);
      await settle();
      handle.detach();
      await settle();
      expect(server.streams()).toBe(0);
      expect(server.request(handle.id).isFinished).toBe(false);
    });

    test("in StrictMode reads once, and a component that comes back goes on", async () => {
      server.on("report");
      const { id } = await client.submit("report");
      await server.clock.settle();
      const before = server.received.length;
      await show(strict(createElement(Watching, { request: id })));
      await settle();
      expect(server.received.slice(before).map(({ type }) => type)).not.toContain("detach");
      server.request(id).complete("done");
      await settle();
      expect(last()).toMatchObject({ isFinished: true, result: "done" });
    });

    test("moves to another request, and to none", async () => {
      server.on("report");
      const [a, b] = [await client.submit("report", 1), await client.submit("report", 2)];
      server.request(a.id).chunk("of a");
      server.request(b.id).chunk("of b");
      await show(createElement(Watching, { request: a }));
      await settle();
      expect(last()?.chunks).toEqual(["of a"]);
      await show(createElement(Watching, { request: b }));
      await settle();
      expect(last()?.chunks).toEqual(["of b"]);
      await show(createElement(Watching, { request: undefined }));
      expect(last()).toMatchObject({ status: undefined, chunks: [] });
    });

    test("shows the same to all who look at one time, also while React is interrupted", async () => {
      server.on("report");
      const handle = await client.submit("report");
      const seen: (readonly unknown[])[][] = [];
      const Pair = () => {
        const [one, other] = [useRequest(client, handle), useRequest(client, handle)];
        seen.push([one.chunks, other.chunks]);
        return null;
      };
      await show(createElement(Pair));
      for (let number = 0; number < 200; number++) {
        server.request(handle.id).chunk(number);
        if (number % 50 === 0) {
          await act(async () => React.startTransition(() => root.render(createElement(Pair))));
        }
      }
      await settle();
      for (const [one, other] of seen) expect(one).toBe(other);
      expect(seen.at(-1)?.[0]).toHaveLength(200);
      expect(seen.length).toBeLessThan(100);
    });

    test("on a server shows nothing yet, and asks nobody", () => {
      const before = server.received.length;
      const Text = ({ of }: { of: Client | undefined }) =>
        JSON.stringify(useRequest(of, "some id").isFinished);
      expect(dom.renderToString(createElement(Text, { of: undefined }))).toBe("false");
      expect(dom.renderToString(createElement(Text, { of: client }))).toBe("false");
      expect(server.received).toHaveLength(before);
    });
  });

  describe(`${version}: useSubmit`, () => {
    let submission: Submission<unknown, unknown, unknown, unknown>;

    const Submitting = ({ onMount }: { onMount?: unknown }) => {
      submission = useSubmit(client, "report");
      const { submit } = submission;
      React.useEffect(() => {
        if (onMount !== undefined) void submit(onMount);
      }, [submit, onMount]);
      return null;
    };

    test("submits when it is told to, and shows the request", async () => {
      server.on("report", ({ payload }) => payload);
      await show(createElement(Submitting));
      expect(submission).toMatchObject({ isSubmitting: false, handle: undefined });
      const { submit } = submission;
      let handle: RequestHandle | undefined;
      await act(async () => {
        handle = await submit({ x: 1 });
      });
      await settle();
      expect(submission.submit).toBe(submit);
      expect(submission.handle).toBe(handle);
      expect(submission).toMatchObject({ isSubmitting: false, error: undefined });
      expect(submission.request).toMatchObject({ isFinished: true, result: { x: 1 } });
      await act(async () => submission.reset());
      expect(submission).toMatchObject({ handle: undefined, request: { isFinished: false } });
    });

    test("complaint 7: in StrictMode, and by a double click, submits once", async () => {
      server.on("report");
      await show(strict(createElement(Submitting, { onMount: "mount" })));
      await settle();
      expect(server.requests.map(({ payload }) => payload)).toEqual(["mount"]);
      await act(async () => {
        const [one, other] = await Promise.all([submission.submit(1), submission.submit(1)]);
        expect(one).toBe(other);
      });
      await settle();
      expect(server.requests.map(({ payload }) => payload)).toEqual(["mount", 1]);
      await act(async () => void (await submission.submit(1)));
      expect(server.requests).toHaveLength(3); // it had been submitted: this is another one
    });

    test("shows a refusal, and throws nothing", async () => {
      await show(createElement(Submitting));
      await act(async () => {
        expect(await submission.submit(1)).toBeUndefined();
      });
      expect(submission.error).toMatchObject({ code: "UNKNOWN_ACTION" });
      server.on("report", () => 1);
      await act(async () => void (await submission.submit(1)));
      await settle();
      expect(submission).toMatchObject({ error: undefined, request: { result: 1 } });
    });

    test("detaches when the component is gone, and the request goes on", async () => {
      server.on("report");
      await show(createElement(Submitting));
      await act(async () => void (await submission.submit(1)));
      await settle();
      expect(server.streams()).toBe(1);
      let late: Promise<unknown> | undefined;
      act(() => {
        late = submission.submit(2); // the component does not live to see it
        root.render(null);
      });
      await late;
      await settle();
      expect(server.streams()).toBe(0);
      expect(server.requests.map(({ isFinished }) => isFinished)).toEqual([false, false]);
    });
  });
}
