// SPDX-License-Identifier: Apache-2.0
// What the drivers of the JavaScript SDK do, wherever it runs; ../README.md says what commands do.

const clients = new Map();
const handles = new Map();
const asks = new Map();
const running = new Set();
const states = new Map(); // the newest of each client
const waiting = new Set(); // who waits for a state
const callers = new Map(); // by whom each call is given up
const taking = new Map(); // how the application takes the events of a handle
let events = 0;
let asked = 0;
let longcall;
let surroundings;

/** Sends an event with the next number; fields that are undefined stay away. */
function emit(ev, fields) {
  events += 1;
  surroundings.write({ ev, n: events, ...fields });
}

class UsageError extends Error {}

const commands = {
  async hello() {
    const { language, features } = surroundings;
    return {
      sdk: "longcall-js",
      version: longcall.VERSION,
      language,
      features: ["announcement", "consume", "give_up", "net", "wait_state", ...features],
    };
  },

  async connect({ client, url, token, tuning = {} }) {
    const show = (state) => {
      states.set(client, state.state);
      emit("connection.state", { client, ...stateShown(state) });
      for (const look of waiting) look();
    };
    const options = {
      backoffInitialMs: tuning.backoff_initial_ms,
      backoffMaximumMs: tuning.backoff_max_ms,
      openTimeoutMs: tuning.connect_timeout_ms,
      maxQueue: tuning.queue_max_requests,
    };
    const made = longcall.connect(url, {
      token: token ?? ((reason) => askForToken(client, reason)),
      webSocket: surroundings.webSocket,
      page: surroundings.page,
      onAnnouncement: ({ message, details }) => emit("announcement", { client, message, details }),
      onWarning: (text, cause) => surroundings.log(text, cause ?? ""),
      ...options,
    });
    clients.set(client, made);
    show(made.state);
    made.onState(show);
  },

  wait_state({ client, state }) {
    return new Promise((resolve) => {
      const look = () => states.get(client) === state && waiting.delete(look) && resolve();
      waiting.add(look);
      look();
    });
  },

  async consume({ handle, how, every_ms: pause = 100 }) {
    taking.get(handle)?.open();
    let open = () => {};
    const opened = how === "stop" ? new Promise((resolve) => (open = resolve)) : undefined;
    taking.set(handle, { open, opened, pause: how === "slow" ? pause : undefined });
  },

  async submit({ client, handle: name, action, ...fields }) {
    start(name, async () => {
      const handle = await clients.get(client).submit(action, ...submission(fields));
      handles.set(name, handle);
      emit("handle.acknowledged", { handle: name, request_id: handle.id });
      await follow(name, handle);
    });
  },

  async call({ client, handle: name, action, ...fields }) {
    const [payload, options] = submission(fields);
    const show = (event) => showEvent(name, event);
    const caller = new AbortController();
    callers.set(name, caller);
    start(name, async () => {
      const callbacks = { ...options, onProgress: show, onChunk: show, signal: caller.signal };
      const result = await clients.get(client).call(action, payload, callbacks);
      emit("handle.result", { handle: name, result });
    });
  },

  async attach({ client, handle: name, request_id: id }) {
    const handle = clients.get(client).attach(id);
    handles.set(name, handle);
    start(name, () => follow(name, handle));
  },

  async give_up({ handle }) {
    callers.get(handle).abort();
  },

  async net({ state }) {
    surroundings.net(state);
  },

  async cancel({ handle, reason }) {
    await handles.get(handle).cancel(reason);
  },

  async detach({ handle }) {
    handles.get(handle).detach();
  },

  async snapshot({ handle }) {
    const { request, result, error } = await handles.get(handle).snapshot();
    const completed = request.status === "completed" && { result };
    return {
      snapshot: { request: wire(request), ...completed, ...(error && { error: wire(error) }) },
    };
  },

  async list({ client, ...filters }) {
    const requests = [];
    for await (const summary of clients.get(client).requests(filters)) requests.push(wire(summary));
    return { requests };
  },

  async token({ ask, token }) {
    asks.get(ask).resolve(token);
    asks.delete(ask);
  },

  async token_fail({ ask }) {
    asks.get(ask).reject(new Error("the runner says no"));
    asks.delete(ask);
  },

  async close({ client }) {
    await clients.get(client).close();
    clients.delete(client);
  },

  async reset() {
    for (const { reject } of asks.values()) reject(new Error("reset"));
    for (const { open } of taking.values()) open();
    for (const kept of [asks, callers, taking, states, waiting]) kept.clear();
    await Promise.all([...clients.values()].map((client) => client.close()));
    clients.clear();
    handles.clear();
    const leaks = () => [...surroundings.leaks(), ...[...running].map((name) => `handle ${name}`)];
    for (let turn = 0; turn < 1_000 && leaks().length > 0; turn++) await surroundings.turn();
    return { leaks: leaks() };
  },

  async bye() {
    return commands.reset();
  },
};

function askForToken(client, reason) {
  asked += 1;
  const ask = asked;
  emit("token.needed", { client, ask, reason });
  return new Promise((resolve, reject) => asks.set(ask, { resolve, reject }));
}

/** Reads the events beside the wait for the result. */
async function follow(name, handle) {
  start(name, () => iterate(name, handle));
  emit("handle.result", { handle: name, result: await handle.result() });
}

async function iterate(name, handle) {
  try {
    for await (const event of handle) {
      const { pause } = taking.get(name) ?? {};
      if (pause) await new Promise((resolve) => setTimeout(resolve, pause));
      while (taking.get(name)?.opened) await taking.get(name).opened;
      showEvent(name, event);
    }
  } catch (error) {
    if (!(error instanceof longcall.LongcallError)) throw error;
    emit("handle.end", { handle: name, err: described(error) });
    return;
  }
  emit("handle.end", { handle: name });
}

function start(name, work) {
  const token = { toString: () => name };
  running.add(token);
  work()
    .catch((error) => {
      if (callers.get(name)?.signal.aborted) return; // nobody is there to be told
      emit("handle.error", { handle: name, err: described(error) });
    })
    .finally(() => running.delete(token));
}

function showEvent(handle, event) {
  const { kind, seq, attempt } = event;
  if (kind === "status") {
    const { status, chunksKeptTo: chunks_kept_to } = event;
    emit("handle.status", { handle, seq, status, attempt, chunks_kept_to });
  } else if (kind === "chunk") {
    emit("handle.chunk", { handle, seq, attempt, data: event.data });
  } else {
    const { version, percentage, message, details } = event;
    emit("handle.progress", { handle, attempt, version, percentage, message, details });
  }
}

function stateShown({ state, resumed, retryInMs, code, reason }) {
  return { state, resumed, retry_in_ms: retryInMs, code, reason };
}

/** The SDK's arguments for what the runner named: payload and options. */
function submission({ payload, request_id, deadline_ms, delay_ms, priority, metadata }) {
  const options = { metadata, priority, deadlineMs: deadline_ms, delayMs: delay_ms };
  return [payload, request_id === undefined ? options : { ...options, id: request_id }];
}

/** An error by the driver protocol. */
function described(error) {
  if (error instanceof longcall.RequestError) {
    const { code, message, retryable, details, attempt, executed, origin } = error;
    return {
      kind: "request",
      code,
      message,
      retryable,
      retry_after_ms: error.retryAfterMs,
      details,
      request_id: error.requestId,
      attempt,
      executed,
      outcome_unknown: error.outcomeUnknown,
      origin,
    };
  }
  const kinds = [
    [longcall.ConnectionClosedError, "connection_closed"],
    [longcall.ConfigurationError, "configuration"],
    [longcall.QueueFullError, "queue_full"],
    [longcall.WaitTimeoutError, "wait_timeout"],
    [UsageError, "usage"],
  ];
  const [, kind] = kinds.find(([Class]) => error instanceof Class) ?? [undefined, "other"];
  const { outcomeUnknown: outcome_unknown } = error ?? {};
  return { kind, message: `${error?.name}: ${error?.message}`, outcome_unknown };
}

/** An object of the SDK with the names of the wire; `kind` is the SDK's own. */
function wire(value) {
  const named = Object.entries(value).filter(([name]) => name !== "kind");
  return Object.fromEntries(
    named.map(([name, item]) => {
      const key = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return [key, name === "progress" && item ? wire(item) : item];
    }),
  );
}

/**
 * Begins. What depends on where this runs is given by `where`: `language` and `features` of `hello`,
 * the `webSocket` for the SDK and its `page` (undefined: what it takes by itself), `net(state)`, which
 * has the surroundings say `online` or `offline`, `write(message)`, `log(...words)`, `leaks()` (sockets
 * and timers that are left, by name), and `turn()`, which gives what is closing a moment.
 */
export function begin(sdk, where) {
  longcall = sdk;
  surroundings = where;
}

/** Does what a message of the runner says, and writes the reply. */
export async function take({ id, cmd, ...given }) {
  try {
    if (!Object.hasOwn(commands, cmd)) throw new UsageError(`no command ${cmd}`);
    surroundings.write({ re: id, ok: (await commands[cmd](given)) ?? {} });
  } catch (error) {
    surroundings.write({ re: id, err: described(error) });
  }
}
