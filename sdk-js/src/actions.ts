// SPDX-License-Identifier: Apache-2.0
// The types of an application's actions. Nothing here exists at run time.

/** The types of one action; what is left out is `unknown`. */
export interface ActionTypes {
  /** What `call` and `submit` take. One that may be `undefined` may be left out. */
  readonly payload?: unknown;
  /** What `call` and `result()` give. */
  readonly result?: unknown;
  /** The `data` of each chunk. */
  readonly chunk?: unknown;
  /** The `details` of progress. */
  readonly details?: unknown;
}

/**
 * A client that was told no actions: it takes any name and any payload, and what comes back is what
 * the caller says it is.
 */
export interface Untyped {
  /** Never there; it tells this type from the actions of an application. */
  readonly [untyped]: never;
}

declare const untyped: unique symbol;

/** `Any` where the client was told no actions, nothing at all where it was. */
export type IfUntyped<Actions, Any> = Actions extends Untyped ? Any : never;

/** The names of the actions that a client was told; none where it was told none. */
export type ActionName<Actions> = Actions extends Untyped ? never : keyof Actions & string;

/** The type of one part of an action: its `payload`, `result`, `chunk` or `details`. */
export type Part<
  Actions,
  Name extends keyof Actions,
  Key extends keyof ActionTypes,
> = Actions[Name] extends { readonly [K in Key]: infer Type } ? Type : unknown;

/** What stands behind the name of an action: its payload, unless that may be left out, and options. */
export type PayloadAndOptions<Payload, Options> = undefined extends Payload
  ? [payload?: Payload, options?: Options]
  : [payload: Payload, options?: Options];
