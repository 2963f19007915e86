// SPDX-License-Identifier: Apache-2.0
// Where requests are remembered. What is read back is checked: a page of another version, or a user
// with the developer tools, may have written it.
import type { RequestMessage } from "../generated/messages.js";

/** What is kept of a request until it has ended. */
export interface StoredRequest {
  /** Of this form. Others are left alone. */
  readonly version: 1;
  readonly id: string;
  readonly action: string;
  /** Which client it is of: the address of its server, and `owner`. */
  readonly scope: string;
  /** Whose it is, as the server says; null: submitted before it could say so. */
  readonly principal: string | null;
  /** Milliseconds since 1970. */
  readonly submittedAt: number;
  /** The number of the last event that the application has taken. */
  readonly seq: number;
  readonly metadata?: Readonly<Record<string, string>>;
  /** The message, as long as the server is not known to have it. */
  readonly request?: RequestMessage;
}

/** Keeps values under keys. What it throws is a warning: requests go on, and are not remembered. */
export interface PersistStore {
  /** Returns all that is kept; others' values too. */
  load(): Promise<unknown[]> | unknown[];
  save(key: string, value: StoredRequest): Promise<void> | void;
  remove(key: string): Promise<void> | void;
}

const PREFIX = "longcall/persist ";

/** What is needed of `sessionStorage` or `localStorage`. */
export interface StorageLike {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/**
 * Keeps requests as long as the tab is there: a reload picks them up, another tab does not.
 *
 * @param storage - Default: the global `sessionStorage`.
 */
export function sessionStore(storage?: StorageLike): PersistStore {
  // Looked for at each use: where a browser forbids it, to look for it throws.
  const found = () => storage ?? (globalThis as { sessionStorage?: StorageLike }).sessionStorage;
  const needed = () => {
    const area = found();
    if (area === undefined) throw new Error("there is no sessionStorage here");
    return area;
  };
  return {
    load() {
      const area = needed();
      const keys = Array.from({ length: area.length }, (_, index) => area.key(index));
      return keys.flatMap((key) => {
        if (!key?.startsWith(PREFIX)) return [];
        try {
          return [JSON.parse(area.getItem(key) ?? "")];
        } catch {
          area.removeItem(key);
          return [];
        }
      });
    },
    save: (key, value) => needed().setItem(PREFIX + key, JSON.stringify(value)),
    remove: (key) => needed().removeItem(PREFIX + key),
  };
}

/**
 * Keeps requests beyond the tab, for all tabs of the origin: a page that was closed picks them up
 * when it is opened again, whatever else is open meanwhile.
 *
 * @param name - of the database. Default `longcall`.
 */
export function indexedDbStore(name = "longcall"): PersistStore {
  let opened: Promise<IDBDatabase> | undefined;
  const forget = () => {
    opened = undefined; // the next use opens it again
  };
  const use = async <T>(
    mode: IDBTransactionMode,
    ask: (store: IDBObjectStore) => IDBRequest<T>,
  ) => {
    opened ??= open(name, forget);
    opened.catch(forget);
    const transaction = (await opened).transaction("requests", mode);
    const request = ask(transaction.objectStore("requests"));
    return new Promise<T>((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  };
  return {
    load: () => use<unknown[]>("readonly", (store) => store.getAll()),
    save: async (key, value) => {
      await use("readwrite", (store) => store.put(value, key));
    },
    remove: async (key) => {
      await use("readwrite", (store) => store.delete(key));
    },
  };
}

function open(name: string, onGone: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("requests");
    request.onsuccess = () => {
      const database = request.result;
      database.onversionchange = () => {
        database.close(); // or who deletes it, or has a newer form, would wait for this page
        onGone();
      };
      database.onclose = onGone; // by the user, who clears what pages keep
      resolve(database);
    };
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("the database is in use by an older page"));
  });
}

/** Returns the value if it is a request of this form. */
export function storedRequest(value: unknown): StoredRequest | undefined {
  const of = Object(value) as StoredRequest;
  const isSound =
    of.version === 1 &&
    [of.id, of.action, of.scope].every((text) => typeof text === "string") &&
    (of.principal === null || typeof of.principal === "string") &&
    Number.isSafeInteger(of.submittedAt) &&
    Number.isSafeInteger(of.seq) &&
    of.seq >= 0 &&
    ["undefined", "object"].includes(typeof of.metadata) &&
    (of.request === undefined || (of.request?.type === "request" && of.request.id === of.id));
  return isSound ? of : undefined;
}
