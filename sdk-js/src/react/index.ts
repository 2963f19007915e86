// SPDX-License-Identifier: Apache-2.0
/**
 * Requests in React components.
 *
 * @packageDocumentation
 */
import { useCallback, useMemo, useState, useSyncExternalStore } from "react";
import type { ActionName, Part } from "../actions.js";
import type { Client, SubmitOptions } from "../client.js";
import type { RequestHandle } from "../handle.js";
import { type RequestState, type RequestStore, requestStore, storeOf, UNKNOWN } from "./store.js";
import { SubmitStore } from "./submit.js";

export { type RequestState, type RequestStore, requestStore };

/** A request that a component makes. */
export interface Submission<
  Payload = unknown,
  Result = unknown,
  Data = unknown,
  Details = unknown,
> {
  /**
   * Submits a request; for the time being, the component shows that one. Called again with the same
   * payload before the server has it, it is the same request.
   *
   * @returns its handle; or `undefined`, when it was refused, which `error` tells.
   */
  readonly submit: (
    payload?: Payload,
    options?: SubmitOptions,
  ) => Promise<RequestHandle<Result, Data, Details> | undefined>;
  /** True until the server has it, or has refused it. */
  readonly isSubmitting: boolean;
  /** Why it was refused, or how it failed. */
  readonly error: Error | undefined;
  readonly handle: RequestHandle<Result, Data, Details> | undefined;
  /** How the request stands. */
  readonly request: RequestState<Result, Data, Details>;
  /** Shows nothing any more; a request that was made goes on. */
  readonly reset: () => void;
}

const nothing: RequestStore = {
  subscribe: () => () => {},
  getSnapshot: () => UNKNOWN,
  getServerSnapshot: () => UNKNOWN,
};

/**
 * Shows how a request stands, as long as the component is there; then it is detached, and goes on.
 *
 * @param client - `undefined` where there is none yet: on a server, for instance.
 * @param request - its id, or a handle, which stays the caller's own; `undefined`: none yet.
 */
export function useRequest<Result = unknown, Data = unknown, Details = unknown>(
  // biome-ignore lint/suspicious/noExplicitAny: whatever actions it was told
  client: Client<any> | undefined,
  request: string | RequestHandle<Result, Data, Details> | undefined,
): RequestState<Result, Data, Details> {
  const store = useMemo(() => {
    if (typeof request === "object") return requestStore(request as RequestHandle);
    if (client === undefined || request === undefined) return nothing;
    return storeOf(
      () => client.attach(request) as RequestHandle,
      (handle) => handle.detach(),
    );
  }, [client, request]);
  const { subscribe, getSnapshot, getServerSnapshot } = store;
  const state = useSyncExternalStore(subscribe, getSnapshot, getServerSnapshot);
  return state as RequestState<Result, Data, Details>;
}

/**
 * Submits requests of an action and shows the newest. Nothing is submitted before `submit` is called;
 * when the component is gone its request is detached, and goes on.
 *
 * @param client - `undefined` where there is none yet; `submit` throws then.
 */
export function useSubmit<Actions, Name extends ActionName<Actions>>(
  client: Client<Actions> | undefined,
  action: Name,
): Submission<
  Part<Actions, Name, "payload">,
  Part<Actions, Name, "result">,
  Part<Actions, Name, "chunk">,
  Part<Actions, Name, "details">
>;
export function useSubmit<Result = unknown, Data = unknown, Details = unknown>(
  client: Client | undefined,
  action: string,
): Submission<unknown, Result, Data, Details>;
export function useSubmit(client: unknown, action: string): Submission {
  const [store] = useState(() => new SubmitStore());
  const own = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getServerSnapshot);
  const request = useRequest(undefined, own.handle);
  const submit = useCallback(
    (payload?: unknown, options?: SubmitOptions) =>
      store.submit(client as Client | undefined, action, payload, options),
    [store, client, action],
  );
  const error = own.error ?? request.error;
  return { ...own, error, request, submit, reset: store.reset };
}
