// SPDX-License-Identifier: Apache-2.0
import type { Client, SubmitOptions } from "../client.js";
import { canonicalJson } from "../codec.js";
import { ConfigurationError } from "../errors.js";
import type { RequestHandle } from "../handle.js";
import { Listeners } from "./store.js";

/** What a component has submitted. */
export interface SubmitState {
  readonly isSubmitting: boolean;
  readonly error: Error | undefined;
  readonly handle: RequestHandle | undefined;
}

const NOTHING: SubmitState = { isSubmitting: false, error: undefined, handle: undefined };

interface Pending {
  readonly identity: string;
  readonly submitted: Promise<RequestHandle | undefined>;
}

/** The newest request of a component; it has its handle as long as the component is there. */
export class SubmitStore {
  #state = NOTHING;
  #pending: Pending | undefined;
  #isUsed = false;
  #turn = 0;
  readonly #listeners = new Listeners(
    () => {
      this.#isUsed = true;
    },
    () => {
      this.#isUsed = false;
      this.reset();
    },
  );

  readonly subscribe = this.#listeners.subscribe;
  readonly getSnapshot = (): SubmitState => this.#state;
  readonly getServerSnapshot = (): SubmitState => NOTHING;

  readonly reset = (): void => {
    this.#turn += 1;
    this.#pending = undefined;
    this.#show(NOTHING);
  };

  async submit(
    client: Client | undefined,
    action: string,
    payload: unknown,
    options: SubmitOptions = {},
  ): Promise<RequestHandle | undefined> {
    if (client === undefined) throw new ConfigurationError("there is no client to submit by");
    const identity = canonicalJson([action, payload ?? null, options.id ?? null]);
    if (this.#pending?.identity === identity) return this.#pending.submitted;
    this.#turn += 1;
    const submitted = this.#submit(client, action, payload, options, this.#turn);
    this.#pending = { identity, submitted };
    this.#show({ ...NOTHING, isSubmitting: true });
    return submitted;
  }

  async #submit(
    client: Client,
    action: string,
    payload: unknown,
    options: SubmitOptions,
    turn: number,
  ): Promise<RequestHandle | undefined> {
    let next: SubmitState = NOTHING;
    try {
      next = { ...NOTHING, handle: await client.submit(action, payload, options) };
    } catch (error) {
      next = { ...NOTHING, error: error as Error };
    }
    if (turn === this.#turn && this.#isUsed) {
      this.#pending = undefined;
      this.#show(next);
    } else {
      next.handle?.detach(); // the component is gone, or shows another one
    }
    return next.handle;
  }

  #show(state: SubmitState): void {
    if (this.#state.handle !== state.handle) this.#state.handle?.detach();
    this.#state = state;
    this.#listeners.tell();
  }
}
