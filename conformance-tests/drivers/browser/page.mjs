// SPDX-License-Identifier: Apache-2.0
// The conformance driver of the JavaScript SDK in a page; ../js/commands.mjs is what it does. The
// address of the runner stands behind the # of the page's own.

// What is left behind: sockets and timers of the page, watched from before the SDK is loaded. A socket
// that is closing is nobody's any more: a page can close, not cut, and the browser does the rest.
const sockets = new Set();
const timers = new Set();
const { setTimeout: set, clearTimeout: clear } = globalThis;

class WatchedWebSocket extends WebSocket {
  constructor(...given) {
    super(...given);
    sockets.add(this);
  }
}

globalThis.setTimeout = (callback, ms) => {
  const timer = set(() => {
    timers.delete(timer);
    callback();
  }, ms);
  timers.add(timer);
  return timer;
};
globalThis.clearTimeout = (timer) => {
  timers.delete(timer);
  clear(timer);
};

function leaks() {
  for (const socket of sockets) {
    if (socket.readyState >= WebSocket.CLOSING) sockets.delete(socket);
  }
  return [...[...sockets].map(() => "WebSocket"), ...[...timers].map(() => "Timeout")];
}

/** Tells the launcher, whose standard error the runner keeps. */
function log(...words) {
  navigator.sendBeacon("/log", words.map(String).join(" "));
}

addEventListener("error", ({ message }) => log(message));
addEventListener("unhandledrejection", ({ reason }) => log(reason));

const longcall = await import("/sdk/index.js");
const { begin, take } = await import("/js/commands.mjs");
const runner = new WebSocket(location.hash.slice(1));
const channel = new MessageChannel(); // a turn of the loop that is no timer

begin(longcall, {
  language: /(Chrom\w+|Firefox|Version)\/[\d.]+/.exec(navigator.userAgent)?.[0] ?? "a browser",
  features: ["page"], // and not `http_status`: a page does not see how an upgrade was refused
  webSocket: WatchedWebSocket,
  net: (state) => dispatchEvent(new Event(state)), // as the browser does
  write: (message) => runner.send(JSON.stringify(message)),
  log,
  leaks,
  turn: () =>
    new Promise((resolve) => {
      channel.port1.onmessage = resolve;
      channel.port2.postMessage(0);
    }),
});
runner.onmessage = ({ data }) => take(JSON.parse(data));
runner.onclose = () => navigator.sendBeacon("/end");
