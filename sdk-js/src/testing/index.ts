// SPDX-License-Identifier: Apache-2.0
/**
 * For the tests of applications: a server in memory and a clock that the test moves.
 *
 * @packageDocumentation
 */
export { TestClock } from "./clock.js";
export type { Failure } from "./messages.js";
export type { InMemoryRequest, LogEvent, ProgressFields } from "./request.js";
export {
  type Identity,
  InMemoryServer,
  type InMemoryServerOptions,
  type Refusal,
  refusal,
  type Script,
  type ScriptOptions,
} from "./server.js";
