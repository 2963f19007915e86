// SPDX-License-Identifier: Apache-2.0
// A real browser, the reference server, and between them a network that can be taken down.
//
//   const harness = await Harness.start();                    // in beforeAll
//   const page = await harness.open();                        // a tab with the SDK in it
//   await page.evaluate(() => client.call("echo", 1));        // `client` is connected over the wire
//   harness.wire.down();
//   await harness.stop();                                     // in afterAll
import type { BrowserContext, Page } from "playwright-core";
import { WebSocket } from "ws";
import { type Client, type ClientState, connect } from "../../src/index.js";
import { launch, type RunningBrowser } from "./chromium.js";
import { ReferenceServer } from "./reference_server.js";
import { Site } from "./site.js";
import { Wire } from "./wire.js";

declare global {
  // What `open` puts into each page.
  var longcall: typeof import("../../src/index.js");
  var url: string;
  var token: string;
  var client: Client;
  /** The states of `client`, the first one included. */
  var states: ClientState[];
  /** How many times `client` asked for a token. */
  var asked: number;
  /**
   * What happened to the page, in order: `hidden`, `visible`, `online`, `offline`, `pageshow true`;
   * and `ping`, when the client asked whether anybody is there.
   */
  var pageEvents: string[];
}

/** A step of a script of `conf.script`; conformance-tests/README.md says what each does. */
export type Step = Readonly<Record<string, unknown>>;

export class Harness {
  readonly pageErrors: Error[] = [];
  /** A client of the same user on this side, which needs no wire. */
  readonly control: Client;

  private constructor(
    readonly server: ReferenceServer,
    readonly site: Site,
    readonly wire: Wire,
    private readonly running: RunningBrowser,
  ) {
    this.control = connect(`ws://127.0.0.1:${server.port}/v1/connect`, {
      token: server.token(),
      webSocket: WebSocket,
    });
  }

  /** Starts all of it. */
  static async start(
    browser: () => Promise<RunningBrowser> = launch,
    handlers = "conf_handlers:handlers", // those of the conformance suite
  ): Promise<Harness> {
    const site = await Site.start();
    const server = await ReferenceServer.start(site.origin, handlers);
    const wire = await Wire.start(() => server.port);
    return new Harness(server, site, wire, await browser());
  }

  /** The server's address, by the wire. */
  get url(): string {
    return `ws://127.0.0.1:${this.wire.port}/v1/connect`;
  }

  /** Opens a tab with a client that is ready: beside others of `context`, else as `launch` says. */
  async open(context?: BrowserContext): Promise<Page> {
    const page = await (context ?? (await this.running.context())).newPage();
    page.on("pageerror", (error) => this.pageErrors.push(error));
    await page.addInitScript(record);
    await page.goto(this.site.origin);
    await this.connect(page);
    return page;
  }

  /** Has a page that was loaded, or loaded again, connect; returns when the client is ready. */
  async connect(page: Page): Promise<void> {
    await this.load(page, "index", "longcall");
    await page.evaluate(
      async ({ url, token }) => {
        Object.assign(globalThis, { url, token, asked: 0 });
        globalThis.client = longcall.connect(url, {
          token: () => {
            globalThis.asked += 1;
            return token;
          },
        });
        globalThis.states = [client.state];
        client.onState((state) => states.push(state));
        await client.ready();
      },
      { url: this.url, token: this.server.token() },
    );
  }

  /** Imports `src/MODULE.ts` in a page, as the global `name`. */
  async load(page: Page, module: string, name: string): Promise<void> {
    // As text: an `import` in a function would be rewritten for this side.
    await page.evaluate(`import("/modules/${module}.js").then((all) => { ${name} = all; })`);
  }

  /** Has the page submit a script; returns the id when the server has stored it. */
  async submit(page: Page, steps: readonly Step[]): Promise<string> {
    return page.evaluate(async (steps) => {
      const handle = await client.submit("conf.script", { steps });
      return handle.id;
    }, steps);
  }

  /** Opens a gate that a script holds at. */
  async release(gate: string): Promise<void> {
    await this.control.call("conf.control", { release: gate });
  }

  /** Returns how often scripts have done `{ count: name }`. */
  async counted(name: string): Promise<number> {
    const { count } = await this.control.call<{ count: number }>("conf.control", { count: name });
    return count;
  }

  /** Stops all of it; throws what the pages threw and nobody caught. */
  async stop(): Promise<void> {
    await this.running.stop();
    await this.control.close();
    await this.wire.stop();
    await this.server.stop();
    await this.site.stop();
    if (this.pageErrors.length > 0) throw new AggregateError(this.pageErrors, "pages threw");
  }
}

/** Runs in each page before all else. */
function record(): void {
  globalThis.pageEvents = [];
  const note = (text: string) => globalThis.pageEvents.push(text);
  document.addEventListener("visibilitychange", () => note(document.visibilityState));
  const { prototype } = globalThis.WebSocket; // the page's, not that of `ws`
  const { send } = prototype;
  prototype.send = function (data: string) {
    if (data === '{"type":"ping"}') note("ping");
    send.call(this, data);
  };
  for (const name of ["online", "offline"]) addEventListener(name, () => note(name));
  for (const name of ["pageshow", "pagehide"] as const) {
    addEventListener(name, ({ persisted }) => note(`${name} ${persisted}`));
  }
}
