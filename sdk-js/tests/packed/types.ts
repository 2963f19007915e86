// SPDX-License-Identifier: Apache-2.0
// What an application's compiler infers and refuses; each `@ts-expect-error` is an error of its own
// where nothing is wrong. Compiled against the packed package; it never runs.
import {
  type CallOptions,
  type Chunk,
  type Client,
  type ClientState,
  connect,
  type ErrorCode,
  HandlerError,
  type Progress,
  type RequestError,
  type RequestEvent,
  type RequestHandle,
  type RequestSummary,
  type Snapshot,
  type Status,
} from "longcall";

type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only where both types are one. */
export function same<A, B>(_isSame: Same<A, B>): void {}

interface Report {
  readonly title: string;
}

interface Actions {
  generate_report: {
    payload: { readonly format: "csv" | "pdf"; readonly pages?: number };
    result: Report;
    chunk: readonly string[];
    details: { readonly page: number };
  };
  clean_up: { result: null };
  greet: { payload: string | undefined; result: string };
}

export async function typed(client: Client<Actions>): Promise<void> {
  const report = await client.call("generate_report", { format: "csv" });
  same<typeof report, Report>(true);
  const done = await client.call("clean_up");
  same<typeof done, null>(true);
  same<Awaited<ReturnType<typeof greet>>, string>(true);
  function greet() {
    return client.call("greet");
  }

  await client.call(
    "generate_report",
    { format: "pdf", pages: 3 },
    {
      onProgress: (progress) => {
        same<typeof progress, Progress<{ readonly page: number }>>(true);
        progress.details?.page.toFixed();
      },
      onChunk: ({ data }) => same<typeof data, readonly string[]>(true),
      onStatus: (event) => same<typeof event, Status>(true),
      signal: new AbortController().signal,
      deadlineMs: 1_000,
      timeoutMs: 2_000,
    },
  );

  const handle = await client.submit("generate_report", { format: "csv" });
  same<typeof handle, RequestHandle<Report, readonly string[], { readonly page: number }>>(true);
  same<Awaited<ReturnType<typeof handle.result>>, Report>(true);
  same<Awaited<ReturnType<typeof handle.chunks>>, (readonly string[])[]>(true);
  const off = handle.on("chunk", ({ data }) => same<typeof data, readonly string[]>(true));
  same<typeof off, () => void>(true);
  // @ts-expect-error: there is no such kind of event
  handle.on("end", () => {});
  const snapshot = await handle.snapshot();
  same<typeof snapshot, Snapshot<Report, { readonly page: number }>>(true);
  snapshot.request.progress?.details?.page.toFixed();

  const attached = client.attach<"generate_report">("an-id");
  same<typeof attached, typeof handle>(true);
  const some = await client.attach("an-id").result();
  same<typeof some, string | Report | null>(true);

  for await (const event of handle) {
    same<typeof event, RequestEvent<readonly string[], { readonly page: number }>>(true);
    switch (event.kind) {
      case "status":
        same<typeof event, Status>(true);
        event.retryAt?.toISOString();
        // @ts-expect-error: a status has no data
        event.data;
        break;
      case "progress":
        same<typeof event.details, { readonly page: number } | undefined>(true);
        break;
      case "chunk":
        same<typeof event, Chunk<readonly string[]>>(true);
        break;
      default:
        same<typeof event, never>(true);
    }
  }
}

export async function refused(client: Client<Actions>): Promise<void> {
  // @ts-expect-error: there is no such action
  await client.call("generate_reports", { format: "csv" });
  // @ts-expect-error: its payload is demanded
  await client.call("generate_report");
  // @ts-expect-error: this is no payload of it
  await client.call("generate_report", { format: "docx" });
  // @ts-expect-error: a field too many
  await client.call("generate_report", { format: "csv", colour: "red" });
  // @ts-expect-error: the result is not a number
  const wrong: number = await client.call("generate_report", { format: "csv" });
  same<typeof wrong, number>(true);
  // @ts-expect-error: there is no such action
  await client.submit("generate", { format: "csv" });
  // @ts-expect-error: there is no such action
  client.attach<"generate">("an-id");
  // @ts-expect-error: a word for milliseconds
  const options: CallOptions = { deadlineMs: "soon" };
  await client.call("generate_report", { format: "csv" }, options);
  // @ts-expect-error: a handle is no promise
  (await client.submit("clean_up")).then;
}

export async function untyped(): Promise<void> {
  const client = connect("wss://example.org/v1/connect", {
    token: async (reason) => {
      same<typeof reason, "connect" | "refresh" | "unauthorized">(true);
      return "token";
    },
  });
  same<typeof client, Client>(true);
  const result = await client.call("anything", { at: ["all"] });
  same<typeof result, unknown>(true);
  same<number, Awaited<ReturnType<typeof number>>>(true);
  function number() {
    return client.call<number>("anything");
  }
  const handle = await client.submit<number, string, { page: number }>("anything");
  same<typeof handle, RequestHandle<number, string, { page: number }>>(true);
  for await (const event of client.attach<number, string>("an-id")) {
    if (event.kind === "chunk") same<typeof event.data, string>(true);
  }
  for await (const summary of client.requests({ status: ["queued", "processing"] })) {
    same<typeof summary, RequestSummary>(true);
  }
  // @ts-expect-error: an action has a name
  await client.call(7);
}

export function connected(): void {
  const client = connect<Actions>("wss://example.org/v1/connect");
  same<typeof client, Client<Actions>>(true);
  takesAny(client);
  // @ts-expect-error: what is a result?
  connect<{ generate_report: { results: Report } }>("wss://example.org/v1/connect");
  // @ts-expect-error: this is no option
  connect("wss://example.org/v1/connect", { tokens: "t" });
}

function takesAny(client: Client<Actions>): ClientState {
  return client.state;
}

export function states(state: ClientState): string | number | undefined {
  switch (state.state) {
    case "connecting":
      // @ts-expect-error: nothing to retry yet
      return state.retryInMs;
    case "ready":
      same<typeof state.resumed, boolean>(true);
      return undefined;
    case "reconnecting":
      return state.retryInMs + (state.code ?? 0);
    case "draining":
      return state.reason;
    case "closed":
      return state.code;
  }
}

export function errors(error: unknown): ErrorCode | undefined {
  if (!(error instanceof HandlerError)) return undefined;
  same<typeof error.details, unknown>(true);
  const { code, retryAfterMs, outcomeUnknown, origin }: RequestError = error;
  same<typeof retryAfterMs, number | undefined>(true);
  same<typeof outcomeUnknown, boolean>(true);
  same<typeof origin, "server" | "client">(true);
  return code;
}
