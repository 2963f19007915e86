// SPDX-License-Identifier: Apache-2.0

const BLOCK = 64;

/** SHA-256 (FIPS 180-4) of bytes as they come: `crypto.subtle` wants all of them at once. */
export class Sha256 {
  readonly #state = Uint32Array.from(primes(8), (prime) => fraction(Math.sqrt(prime)));
  readonly #block = new Uint8Array(BLOCK);
  readonly #view = new DataView(this.#block.buffer);
  readonly #words = new Uint32Array(64);
  #length = 0;

  update(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const at = this.#length % BLOCK;
      const part = bytes.subarray(from, from + BLOCK - at);
      this.#block.set(part, at);
      this.#length += part.length;
      from += part.length;
      if (this.#length % BLOCK === 0) this.#mix();
    }
  }

  /** Returns the digest in hexadecimal; nothing can be added any more. */
  hex(): string {
    const bits = this.#length * 8;
    const used = this.#length % BLOCK;
    this.update(Uint8Array.of(0x80));
    this.update(new Uint8Array((BLOCK + 55 - used) % BLOCK));
    const size = new DataView(new ArrayBuffer(8));
    size.setUint32(0, Math.floor(bits / 2 ** 32));
    size.setUint32(4, bits % 2 ** 32);
    this.update(new Uint8Array(size.buffer));
    return Array.from(this.#state, (word) => word.toString(16).padStart(8, "0")).join("");
  }

  #mix(): void {
    const w = this.#words;
    for (let i = 0; i < 16; i++) w[i] = this.#view.getUint32(i * 4);
    for (let i = 16; i < 64; i++) {
      const [x, y] = [at(w, i - 15), at(w, i - 2)];
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
      const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
      w[i] = at(w, i - 16) + s0 + at(w, i - 7) + s1;
    }
    const state = this.#state;
    let [a, b, c, d] = [at(state, 0), at(state, 1), at(state, 2), at(state, 3)];
    let [e, f, g, h] = [at(state, 4), at(state, 5), at(state, 6), at(state, 7)];
    for (let i = 0; i < 64; i++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + at(CONSTANTS, i) + at(w, i)) | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    const mixed = [a, b, c, d, e, f, g, h];
    for (let i = 0; i < 8; i++) state[i] = at(state, i) + (mixed[i] as number);
  }
}

const CONSTANTS = Uint32Array.from(primes(64), (prime) => fraction(Math.cbrt(prime)));

/** Returns the first 32 bits behind the point. */
function fraction(value: number): number {
  return Math.floor((value % 1) * 2 ** 32);
}

function primes(count: number): number[] {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime)) found.push(n);
  return found;
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}

function at(words: Uint32Array, index: number): number {
  return words[index] as number;
}
