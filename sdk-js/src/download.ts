// SPDX-License-Identifier: Apache-2.0
// Loaded when the first file is downloaded.
import type { Connection } from "./connection.js";
import { ConfigurationError, DownloadError, type LongcallError, requestError } from "./errors.js";
import { Sha256 } from "./sha256.js";

/** Downloads a file of a request over HTTP. PROTOCOL 8.6. */
export async function download(
  connection: Connection,
  requestId: string,
  name: string,
  signal: AbortSignal | undefined,
): Promise<Response> {
  if (name === "" || name === "." || name === ".." || name.includes("/")) {
    throw new ConfigurationError(`not the name of a file: ${JSON.stringify(name)}`);
  }
  const url = new URL(connection.url);
  url.protocol = url.protocol === "wss:" ? "https:" : "http:";
  url.search = "";
  url.pathname = `/v1/requests/${encodeURIComponent(requestId)}/files/${encodeURIComponent(name)}`;
  let response = await get(connection, url, await connection.token(undefined), signal);
  if (response.status === 401 && connection.hasTokenSource) {
    await response.body?.cancel();
    response = await get(connection, url, await connection.token("unauthorized"), signal);
  }
  if (!response.ok) throw await failure(response, requestId);
  const digest = /^(?:W\/)?"([0-9a-f]{64})"$/i.exec(response.headers.get("etag") ?? "")?.[1];
  if (digest === undefined || response.body === null) {
    await response.body?.cancel();
    throw new DownloadError(response.status, "the server announces no SHA-256 of the file");
  }
  return new Response(response.body.pipeThrough(check(digest.toLowerCase(), response.status)), {
    headers: response.headers,
  });
}

/** Hands bytes on, and fails at their end where they are not those that were announced. */
function check(announced: string, status: number): TransformStream<Uint8Array, Uint8Array> {
  const digest = new Sha256();
  return new TransformStream({
    transform(bytes, controller) {
      digest.update(bytes);
      controller.enqueue(bytes);
    },
    flush() {
      if (digest.hex() === announced) return;
      throw new DownloadError(status, `the file that came has not the SHA-256 ${announced}`);
    },
  });
}

function get(
  connection: Connection,
  url: URL,
  token: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Response> {
  return connection.fetch(url, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...(signal && { signal }),
  });
}

/** Reads the problem document (RFC 9457) of a refusal. PROTOCOL 8.1.4. */
async function failure(response: Response, requestId: string): Promise<LongcallError> {
  let problem: unknown;
  try {
    problem = await response.json();
  } catch {
    // Somebody else answered: a proxy, for instance.
  }
  if (typeof problem !== "object" || problem === null) return new DownloadError(response.status);
  const { code, title, detail, retryable, retry_after_ms, details } = problem as Record<
    string,
    unknown
  >;
  if (typeof code !== "string") return new DownloadError(response.status);
  const text = [detail, title].find((word) => typeof word === "string") ?? "";
  return requestError(code, text, {
    retryable: retryable === true,
    retryAfterMs: typeof retry_after_ms === "number" ? retry_after_ms : undefined,
    details,
    requestId,
  });
}
