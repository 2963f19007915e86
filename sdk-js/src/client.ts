// SPDX-License-Identifier: Apache-2.0
import type {
  ActionName,
  ActionTypes,
  IfUntyped,
  Part,
  PayloadAndOptions,
  Untyped,
} from "./actions.js";
import { Connection, type Patience } from "./connection.js";
import { defined } from "./defined.js";
import { ConfigurationError, ConnectionClosedError, WaitTimeoutError } from "./errors.js";
import { type Announcement, type ClientState, type RequestSummary, summaryFrom } from "./events.js";
import type { RequestStatus } from "./generated/codes.js";
import type { ListingMessage, RequestMessage } from "./generated/messages.js";
import { type Callbacks, RequestHandle } from "./handle.js";
import { newRequestId } from "./identifiers.js";
import { type ClientOptions, checkedUrl } from "./options.js";
import type { WebSocketConstructor } from "./transport.js";

/** How a request is to be run. */
export interface RequestOptions {
  /**
   * The id of the request and its idempotency key: 1 to 128 of `A-Z a-z 0-9 . _ : -`. Submitted
   * again, with the same action and payload, it is the same request. Default: a new UUIDv7.
   */
  readonly id?: string;
  /** Notes for the handler: at most 32 keys of at most 64 characters with values of at most 512. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Ends the request with `TIMEOUT`, on the server, this long after its acceptance. Default: never. */
  readonly deadlineMs?: number;
  /** Does not start it before this has passed since its acceptance. Default: 0. */
  readonly delayMs?: number;
  /** 0 to 9; of the requests that are due, higher ones are taken first. Default: 5. */
  readonly priority?: number;
  /** Where a signed webhook goes at the end; hosts that the server allows only. Default: none. */
  readonly callbackUrl?: string;
  /** The W3C trace context of the caller. Default: what the client's option of this name gives. */
  readonly traceparent?: string;
}

/** How a request is to be run, and how long to wait for it. */
export interface SubmitOptions extends RequestOptions, Patience {}

/** How a request is to be run, how long to wait for it, and what to tell meanwhile. */
export interface CallOptions<Data = unknown, Details = unknown>
  extends SubmitOptions,
    Callbacks<Data, Details> {}

/** The handle of a request of a typed action. */
export type HandleOf<Actions, Name extends keyof Actions> = RequestHandle<
  Part<Actions, Name, "result">,
  Part<Actions, Name, "chunk">,
  Part<Actions, Name, "details">
>;

/** Which requests to list. */
export interface RequestFilters {
  /** Only requests in this status, or in one of these. Default: all. */
  readonly status?: RequestStatus | readonly RequestStatus[];
  /** Only requests of this action. Default: all. */
  readonly action?: string;
  /** Another user of the tenant; needs the permission `requests:read:tenant`. Default: one's own. */
  readonly sub?: string;
  /** How many are asked for at once, 1 to 200. Default: 50. */
  readonly pageSize?: number;
  /** Ends the listing; its `reason` is thrown. Default: none. */
  readonly signal?: AbortSignal;
}

/**
 * A client of a longcall server: one connection, kept up for as long as it is not closed.
 *
 * @typeParam Actions - the types of the actions by their names, see {@link connect}.
 */
export class Client<Actions = Untyped> {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The state of the connection now. */
  get state(): ClientState {
    return this.#connection.protocol.state;
  }

  /** How many messages of the server were ignored, because a later version sent them. */
  get ignoredMessages(): number {
    return this.#connection.protocol.ignored;
  }

  /**
   * Calls an action and gives its result, whether it is there at once or after an hour.
   *
   * @param payload - any JSON value; `undefined` is none.
   * @throws RequestError: it was refused, failed, was cancelled or timed out on the server.
   * @throws QueueFullError: too much already waits to be sent.
   * @throws WaitTimeoutError: `timeoutMs` ended. Sent or not, the error says; what was sent goes on.
   * @throws ConnectionClosedError: the client is closed for good.
   */
  call<Result = unknown, Data = unknown, Details = unknown>(
    action: IfUntyped<Actions, string>,
    payload?: unknown,
    options?: CallOptions<Data, Details>,
  ): Promise<Result>;
  call<Name extends ActionName<Actions>>(
    action: Name,
    ...rest: PayloadAndOptions<
      Part<Actions, Name, "payload">,
      CallOptions<Part<Actions, Name, "chunk">, Part<Actions, Name, "details">>
    >
  ): Promise<Part<Actions, Name, "result">>;
  async call(action: string, ...rest: unknown[]): Promise<unknown> {
    const [payload, options = {}] = rest as [unknown?, CallOptions?];
    options.signal?.throwIfAborted();
    const handle = this.#submit(action, payload, options);
    try {
      const { onStatus, onProgress, onChunk } = options;
      if (!(onStatus || onProgress || onChunk)) return await handle.result(options);
      const watching = handle.watch(options).catch(() => {}); // `result` throws the same
      await this.#connection.ask<void>(
        ({ resolve }) => {
          void watching.then(resolve);
          return undefined;
        },
        options,
        () => handle.timeout(),
      );
      return await handle.result();
    } finally {
      handle.detach();
    }
  }

  /**
   * Submits a request, and gives its handle when the server has stored it, or answered it at once.
   *
   * @throws RequestError: it was refused.
   * @throws QueueFullError, WaitTimeoutError, ConnectionClosedError: as {@link call}.
   */
  submit<Result = unknown, Data = unknown, Details = unknown>(
    action: IfUntyped<Actions, string>,
    payload?: unknown,
    options?: SubmitOptions,
  ): Promise<RequestHandle<Result, Data, Details>>;
  submit<Name extends ActionName<Actions>>(
    action: Name,
    ...rest: PayloadAndOptions<Part<Actions, Name, "payload">, SubmitOptions>
  ): Promise<HandleOf<Actions, Name>>;
  async submit(action: string, ...rest: unknown[]): Promise<RequestHandle> {
    const [payload, options = {}] = rest as [unknown?, SubmitOptions?];
    options.signal?.throwIfAborted();
    const handle = this.#submit(action, payload, options);
    try {
      await handle.settled(options);
      return handle;
    } catch (error) {
      handle.detach();
      throw error;
    }
  }

  /**
   * Gives the handle of a request that was submitted before, from anywhere.
   *
   * That there is no such request is told by the handle: `NotFoundError`. Which action it is of, the
   * caller says: `client.attach<"generate_report">(id)`; nobody checks that.
   *
   * @throws ValidationError: this is no id.
   * @throws ConnectionClosedError: the client is closed for good.
   */
  attach<Result = unknown, Data = unknown, Details = unknown>(
    id: IfUntyped<Actions, string>,
  ): RequestHandle<Result, Data, Details>;
  attach<Name extends ActionName<Actions> = ActionName<Actions>>(
    id: string,
  ): HandleOf<Actions, Name>;
  attach(id: string): RequestHandle {
    const { protocol } = this.#connection;
    return new RequestHandle(
      this.#connection,
      this.#connection.step((now) => protocol.attach(id, now)),
    );
  }

  /**
   * Lists requests, the newest first; pages are asked for as they are needed.
   *
   * @throws RequestError: the server refused, `sub` for instance.
   * @throws ConnectionClosedError: the client is closed for good.
   */
  async *requests(filters: RequestFilters = {}): AsyncGenerator<RequestSummary, void, undefined> {
    const { status, action, sub, pageSize, signal } = filters;
    let cursor: string | undefined;
    do {
      const asked = defined({
        status: typeof status === "string" ? [status] : status && [...status],
        action,
        sub,
        limit: pageSize,
        cursor,
      });
      const page: ListingMessage = await this.#connection.ask<ListingMessage>(
        (question) => {
          this.#connection.step((now) => this.#connection.protocol.list(asked, question, now));
          return undefined;
        },
        { signal },
      );
      for (const summary of page.requests) yield summaryFrom(summary);
      cursor = page.next_cursor;
    } while (cursor !== undefined);
  }

  /**
   * Waits until the connection is ready. Nothing needs to: requests wait by themselves.
   *
   * @throws ConnectionClosedError: the client is closed for good.
   * @throws WaitTimeoutError: the patience ended.
   */
  async ready(patience: Patience = {}): Promise<void> {
    const { stateChanged } = this.#connection.protocol;
    const state = await this.#connection.wait(
      stateChanged,
      () => (["ready", "closed"].includes(this.state.state) ? this.state : undefined),
      patience,
      () => new WaitTimeoutError(),
    );
    if (state.state === "closed") throw new ConnectionClosedError(state.code, state.reason);
  }

  /** Yields the state of the connection and then the newest one after each change, until `closed`. */
  async *states(): AsyncGenerator<ClientState, void, undefined> {
    const { stateChanged } = this.#connection.protocol;
    let seen: ClientState | undefined;
    while (seen?.state !== "closed") {
      const last = seen;
      seen = await this.#connection.wait(stateChanged, () =>
        this.state === last ? undefined : this.state,
      );
      yield seen;
    }
  }

  /** Calls `listener` at each change of the state, until what is returned is called. */
  onState(listener: (state: ClientState) => void): () => void {
    return add(this.#connection.stateListeners, listener);
  }

  /** Calls `listener` for each announcement, until what is returned is called. */
  onAnnouncement(listener: (announcement: Announcement) => void): () => void {
    return add(this.#connection.announcementListeners, listener);
  }

  /**
   * Closes the client for good; resolves when its sockets are closed. No request is cancelled: what
   * the server has goes on, and `attach` comes back to it. Whoever waits gets a
   * {@link ConnectionClosedError}.
   */
  async close(): Promise<void> {
    await this.#connection.close();
  }

  #submit(action: string, payload: unknown, options: RequestOptions): RequestHandle {
    const id = options.id ?? newRequestId();
    const message: RequestMessage = {
      type: "request",
      id,
      action,
      ...defined({
        payload,
        metadata: options.metadata,
        deadline_ms: options.deadlineMs,
        delay_ms: options.delayMs,
        priority: options.priority,
        callback_url: options.callbackUrl,
        traceparent: options.traceparent ?? this.#connection.traceparent(action, id),
      }),
    };
    const { protocol } = this.#connection;
    const hasOwnId = options.id !== undefined;
    return new RequestHandle(
      this.#connection,
      this.#connection.step((now) => protocol.submit(message, hasOwnId, now)),
    );
  }
}

/**
 * Connects to a server. Returns at once: requests wait until the connection is ready, and again
 * whenever it is lost, which the application needs not notice.
 *
 * ```js
 * const client = connect("wss://example.org/v1/connect", { token: () => fetchToken() });
 * const report = await client.call("generate_report", { format: "csv" });
 * await client.close();
 * ```
 *
 * In TypeScript an application may say what its actions take and give:
 *
 * ```ts
 * interface Actions {
 *   generate_report: { payload: { format: "csv" | "pdf" }; result: Report; chunk: Row[] };
 *   clean_up: { result: null };
 * }
 * const client = connect<Actions>(url, { token });
 * ```
 *
 * @typeParam Actions - the types of the actions by their names. Default: any action, untyped.
 * @param url - the server's address, such as `wss://example.org/v1/connect`; `/v1/connect` is put where
 *   the path lacks.
 * @throws ConfigurationError: the address or an option cannot be used, or there is no `WebSocket`.
 */
export function connect<Actions extends Record<keyof Actions, ActionTypes> = Untyped>(
  url: string | URL,
  options: ClientOptions = {},
): Client<Actions> {
  const global = globalThis as { readonly WebSocket?: WebSocketConstructor };
  const WebSocket = options.webSocket ?? global.WebSocket;
  if (typeof WebSocket !== "function") {
    throw new ConfigurationError(
      'there is no WebSocket here: install "ws", and write\n' +
        '  import WebSocket from "ws";\n' +
        "  const client = connect(url, { token, webSocket: WebSocket });",
    );
  }
  return new Client(new Connection(checkedUrl(url), options, WebSocket));
}

function add<T>(listeners: Set<(value: T) => void>, listener: (value: T) => void): () => void {
  const own = (value: T) => listener(value); // the same function may be added twice
  listeners.add(own);
  return () => listeners.delete(own);
}
