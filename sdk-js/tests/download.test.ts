// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import type { RequestListener } from "node:http";
import { expect, test } from "vitest";
import {
  ConfigurationError,
  DownloadError,
  NotFoundError,
  type RequestHandle,
  UnavailableError,
} from "../src/index.js";
import { snapshotMessage } from "./protocol/bench.js";
import { connected, TestServer } from "./server.js";

/** The tag of a file: what it is checked by. PROTOCOL 8.6. */
function tag(body: string | Buffer): string {
  return `"${createHash("sha256").update(body).digest("hex")}"`;
}

async function attached(server: TestServer, token: () => string): Promise<RequestHandle> {
  const client = server.client({ token });
  const peer = await server.welcomed();
  const handle = client.attach("a:b");
  await peer.expect("attach");
  peer.send(snapshotMessage("a:b"));
  return handle;
}

test("a file comes over HTTP, with the newest token", async () => {
  const server = await TestServer.start();
  server.answer = ({ url, headers }, response) => {
    const body = `${url} ${headers.authorization}`;
    response.setHeader("etag", tag(body)).end(body);
  };
  const handle = await attached(server, () => "token");
  const response = await handle.download("report é.csv");
  expect(await response.text()).toBe("/v1/requests/a%3Ab/files/report%20%C3%A9.csv Bearer token");
  expect(response.headers.get("etag")).toMatch(/^"[0-9a-f]{64}"$/);
});

test("a token that is refused is replaced once", async () => {
  const server = await TestServer.start();
  const seen: unknown[] = [];
  server.answer = ({ headers }, response) => {
    seen.push(headers.authorization);
    const status = headers.authorization === "Bearer t2" ? 200 : 401;
    response.writeHead(status, { etag: tag("file") }).end("file");
  };
  let tokens = 0;
  const handle = await attached(server, () => `t${++tokens}`);
  expect(await (await handle.download("f")).text()).toBe("file");
  expect(seen).toEqual(["Bearer t1", "Bearer t2"]);
  tokens = 5;
  server.answer = (_request, response) => response.writeHead(401).end();
  await expect(handle.download("f")).rejects.toMatchObject({ name: "DownloadError", status: 401 });
});

test("a problem document is thrown as its typed error", async () => {
  const server = await TestServer.start();
  let problem: object = { title: "Not found", code: "NOT_FOUND", retryable: false };
  let status = 404;
  server.answer = (_request, response) => response.writeHead(status).end(JSON.stringify(problem));
  const handle = await attached(server, () => "token");
  await expect(handle.download("f")).rejects.toBeInstanceOf(NotFoundError);
  status = 503;
  problem = { detail: "soon", code: "UNAVAILABLE", retryable: true, retry_after_ms: 9 };
  const failure = handle.download("f");
  await expect(failure).rejects.toBeInstanceOf(UnavailableError);
  await expect(failure).rejects.toMatchObject({
    message: "soon",
    retryable: true,
    retryAfterMs: 9,
    requestId: "a:b",
  });
});

test("what is neither a file nor a problem is a DownloadError", async () => {
  const server = await TestServer.start();
  const handle = await attached(server, () => "token");
  for (const body of ["<html>", "7", "null", "{}"]) {
    server.answer = (_request, response) => response.writeHead(502).end(body);
    const failure = handle.download("f");
    await expect(failure).rejects.toBeInstanceOf(DownloadError);
    await expect(failure).rejects.toMatchObject({ status: 502 });
  }
});

test("a name that is none is told", async () => {
  const { client } = await connected();
  const handle = client.attach("a");
  for (const name of ["", ".", "..", "a/b"]) {
    await expect(handle.download(name)).rejects.toBeInstanceOf(ConfigurationError);
  }
});

test("it can be aborted", async () => {
  const server = await TestServer.start();
  server.answer = () => {};
  const handle = await attached(server, () => "token");
  const controller = new AbortController();
  const downloading = handle.download("f", { signal: controller.signal });
  controller.abort();
  await expect(downloading).rejects.toMatchObject({ name: "AbortError" });
});

test("a file that is not the one announced is not read to its end without an error", async () => {
  const server = await TestServer.start();
  const file = Buffer.alloc(300_000, "0123456789");
  const changed = Buffer.from(file);
  changed.write("x", 150_001);
  const answers: Record<string, RequestListener> = {
    right: (_request, response) => response.setHeader("etag", tag(file)).end(file),
    weak: (_request, response) => response.setHeader("etag", `W/${tag(file)}`).end(file),
    changed: (_request, response) => response.setHeader("etag", tag(file)).end(changed),
    short: (_request, response) => response.setHeader("etag", tag(file)).end(file.subarray(1)),
    long: (_request, response) => response.setHeader("etag", tag(file)).end(`${file} `),
  };
  server.answer = (request, response) =>
    answers[request.url?.split("/").at(-1) ?? ""]?.(request, response);
  const handle = await attached(server, () => "token");
  for (const name of ["right", "weak"]) {
    const response = await handle.download(name);
    expect(Buffer.from(await response.arrayBuffer()).equals(file)).toBe(true);
  }
  for (const name of ["changed", "short", "long"]) {
    const response = await handle.download(name);
    await expect(response.arrayBuffer(), name).rejects.toBeInstanceOf(DownloadError);
  }
});

test.each([undefined, '"abc"', "file"])(
  "with the tag %j there is nothing to check it by",
  async (etag) => {
    const server = await TestServer.start();
    server.answer = (_request, response) => {
      if (etag !== undefined) response.setHeader("etag", etag);
      response.end("file");
    };
    const handle = await attached(server, () => "token");
    const failure = handle.download("f");
    await expect(failure).rejects.toBeInstanceOf(DownloadError);
    await expect(failure).rejects.toThrow("SHA-256");
  },
);
