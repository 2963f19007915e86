// SPDX-License-Identifier: Apache-2.0
/**
 * Requests that outlive the page.
 *
 * @packageDocumentation
 */
export {
  type PersistedRequests,
  type PersistOptions,
  persistence,
  type RestoredRequest,
} from "./journal.js";
export {
  indexedDbStore,
  type PersistStore,
  type StorageLike,
  type StoredRequest,
  sessionStore,
} from "./store.js";
