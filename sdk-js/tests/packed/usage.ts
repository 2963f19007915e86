// SPDX-License-Identifier: Apache-2.0
// What an application writes; compiled against the packed package in each kind of project.
import { type ClientOptions, connect, LongcallError, RequestError, VERSION } from "longcall";

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
