// SPDX-License-Identifier: Apache-2.0
// What an application writes; compiled against the packed package in each kind of project.
import { type ClientOptions, connect, LongcallError, RequestError, VERSION } from "longcall";
import { indexedDbStore, persistence, sessionStore } from "longcall/persist";
import { requestStore, useRequest, useSubmit } from "longcall/react";
import { connect as connectShared } from "longcall/shared";
import { InMemoryServer, refusal, TestClock } from "longcall/testing";
import "longcall/shared/worker";

export const version: string = VERSION;

export async function report(url: string, options: ClientOptions): Promise<number> {
  const client = connect(url, options);
  try {
    const handle = await client.submit<number, string>("generate_report", { format: "csv" });
    for await (const event of handle) {
      if (event.kind === "chunk") event.data.toUpperCase();
      else if (event.kind === "progress") event.percentage?.toFixed(0);
      else event.chunksKeptTo.toFixed(0);
    }
    return await handle.result();
  } catch (error) {
    if (error instanceof RequestError) return error.attempt;
    throw error instanceof LongcallError ? new Error(error.name) : error;
  } finally {
    await client.close();
  }
}

interface Actions {
  generate_report: { payload: { format: "csv" | "pdf" }; result: { rows: number }; chunk: string };
}

export async function rememberedAndShared(url: string, inTab: boolean): Promise<string[]> {
  const persist = persistence({ store: inTab ? sessionStore() : indexedDbStore(), owner: "me" });
  const client = connectShared<Actions>(url, { persist });
  const rows: number = (await client.call("generate_report", { format: "csv" })).rows;
  const restored = await persist.restored();
  await client.close();
  return restored.map(({ action, seq, handle }) => `${action} ${seq} ${handle.id} ${rows}`);
}

export async function tested(): Promise<number> {
  const server = new InMemoryServer({ clock: new TestClock(), limits: { max_in_flight: 5 } });
  server.on("generate_report", (request) => {
    request.progress({ percentage: 50 });
    return { rows: 1 };
  });
  server.on("secret", refusal("FORBIDDEN"));
  const client = server.connect<Actions>();
  const { rows } = await client.call("generate_report", { format: "pdf" });
  await server.clock.advance(500);
  server.stop();
  return rows;
}

export function Component(url: string): string {
  const client = connect<Actions>(url);
  const { submit, handle, request } = useSubmit(client, "generate_report");
  void submit({ format: "csv" });
  // @ts-expect-error: there is no such format
  void submit({ format: "doc" });
  const rows: number | undefined = request.result?.rows;
  const [piece]: readonly string[] = handle ? requestStore(handle).getSnapshot().chunks : [];
  const { status } = useRequest<{ rows: number }>(client, "some id");
  return `${status} ${rows} ${piece}`;
}
