/** SHA-256 and HMAC-SHA256 (FIPS 180-4, RFC 2104): mini-games have no `crypto`. Compared with Node's in the tests. */
const BLOCK = 64;

/** The first 32 bits of the fractional parts of the cube (`power` 1/3) or square (1/2) roots of the first primes. */
function constants(count: number, power: number): number[] {
  const words: number[] = [];
  for (let candidate = 2, factor; words.length < count; candidate++) {
    for (factor = 2; candidate % factor; factor++);
    if (factor === candidate) words.push(((Math.pow(candidate, power) % 1) * 0x100000000) | 0);
  }
  return words;
}

const ROUND = constants(64, 1 / 3);
const INITIAL = constants(8, 1 / 2);

/** Returns the SHA-256 digest of the concatenated parts. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const message = new Uint8Array(Math.ceil((length + 9) / BLOCK) * BLOCK);
  length = 0;
  for (const part of parts) {
    message.set(part, length);
    length += part.length;
  }
  message[length] = 0x80;
  const view = new DataView(message.buffer);
  view.setUint32(message.length - 8, length / 0x20000000);
  view.setUint32(message.length - 4, length << 3);
  const state = INITIAL.slice();
  const words = new Int32Array(64);
  for (let offset = 0; offset < message.length; offset += BLOCK) {
    for (let index = 0; index < 16; index++) words[index] = view.getInt32(offset + index * 4);
    compress(state, words);
  }
  state.forEach((word, index) => view.setInt32(index * 4, word));
  return message.slice(0, 32);
}

/** Returns HMAC-SHA256 of the message. */
export function hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
  const block = new Uint8Array(BLOCK);
  block.set(key.length > BLOCK ? sha256(key) : key);
  const pad = (mask: number): Uint8Array => block.map((byte) => byte ^ mask);
  return sha256(pad(0x5c), sha256(pad(0x36), message));
}

function compress(state: number[], w: Int32Array): void {
  for (let i = 16; i < 64; i++) {
    const a = w[i - 15] as number;
    const b = w[i - 2] as number;
    const s0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
    const s1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    w[i] = (w[i - 16] as number) + s0 + (w[i - 7] as number) + s1;
  }
  let [a, b, c, d, e, f, g, h] = state as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (ROUND[i] as number) + (w[i] as number)) | 0;
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
  [a, b, c, d, e, f, g, h].forEach((word, index) => {
    state[index] = ((state[index] as number) + word) | 0;
  });
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}
