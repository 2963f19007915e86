// SPDX-License-Identifier: Apache-2.0
// Where the pages of the tests come from: an empty page, and the SDK's modules as one file each.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const SOURCES = fileURLToPath(new URL("../../src/", import.meta.url));
const PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>longcall</title>';
const modules = new Map<string, Promise<string>>();

/**
 * Serves `/`, and any other path without an extension, as a page without content; and
 * `/modules/NAME.js` as `src/NAME.ts` with all that it imports.
 */
export class Site {
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? "/", "http://site");
      void answer(pathname).then(([status, type, body]) => {
        response.writeHead(status, { "content-type": type }).end(body);
      });
    });
  }

  static async start(): Promise<Site> {
    const site = new Site();
    await new Promise<void>((resolve) => site.#server.listen(0, "127.0.0.1", resolve));
    return site;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function answer(path: string): Promise<[number, string, string]> {
  const [, name] = /^\/modules\/([a-z/_-]+)\.js$/.exec(path) ?? [];
  if (name !== undefined) return [200, "text/javascript", await bundled(name)];
  if (path.includes(".")) return [404, "text/plain", "not here"];
  return [200, "text/html", PAGE];
}

function bundled(name: string): Promise<string> {
  let text = modules.get(name);
  if (text === undefined) {
    text = bundle(name);
    modules.set(name, text);
  }
  return text;
}

async function bundle(name: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [`${SOURCES}${name}.ts`],
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}
