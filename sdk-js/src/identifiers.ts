// SPDX-License-Identifier: Apache-2.0

/** Returns the UUIDv7 (RFC 9562) of a time and 10 random bytes, in lower case. */
export function uuid7(unixMs: number, entropy: Uint8Array): string {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(unixMs / 0x1_0000));
  view.setUint16(4, unixMs % 0x1_0000);
  bytes.set(entropy.subarray(0, 10), 6);
  view.setUint8(6, 0x70 | (view.getUint8(6) & 0x0f)); // version
  view.setUint8(8, 0x80 | (view.getUint8(8) & 0x3f)); // variant
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Returns a fresh id for a request: ids sort by the time at which they were made. */
export function newRequestId(): string {
  return uuid7(Date.now(), crypto.getRandomValues(new Uint8Array(10)));
}
