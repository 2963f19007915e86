// SPDX-License-Identifier: Apache-2.0
// What a page tells of itself. Nothing here knows the protocol, nor is there a page in Node.js.

/**
 * What has become of a page, by the names of the web: it is `hidden` or `visible`, its device is
 * `offline` or `online`, it was left for another one (`pagehide`), or is shown again as it was
 * (`pageshow`, out of the back/forward cache).
 */
export type PageSignal = "hidden" | "visible" | "offline" | "online" | "pagehide" | "pageshow";

/** Tells how the page stands and then each change, until what is returned is called. */
export type PageSignals = (tell: (signal: PageSignal) => void) => () => void;

/** What the signals are made of; a worker has some of it, Node.js nothing. */
interface Surroundings {
  readonly document?: { readonly visibilityState: string };
  readonly navigator?: { readonly onLine?: boolean };
  addEventListener?(
    name: string,
    listener: (event: { readonly type: string; readonly persisted?: boolean }) => void,
    options: { readonly signal: AbortSignal },
  ): void;
}

/** Those of the browser, where there is one. */
export const browserSignals: PageSignals = (tell) => {
  const surroundings = globalThis as unknown as Surroundings;
  const { document, navigator } = surroundings;
  const end = new AbortController();
  const look = () => document && tell(document.visibilityState === "hidden" ? "hidden" : "visible");
  for (const name of ["visibilitychange", "online", "offline", "pagehide", "pageshow"]) {
    surroundings.addEventListener?.(
      name,
      ({ type, persisted }) => {
        if (type === "visibilitychange") look();
        else if (type !== "pageshow" || persisted) tell(type as PageSignal); // else it was loaded
      },
      end,
    );
  }
  look();
  if (navigator?.onLine === false) tell("offline");
  return () => end.abort();
};
