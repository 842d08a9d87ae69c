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
  const words: number[] = [];
  for (let offset = 0; offset < message.length; offset += BLOCK) {
    const s = state.slice() as [number, number, number, number, number, number, number, number];
    for (let i = 0; i < 64; i++) {
      words[i] = i < 16 ? view.getInt32(offset + i * 4) : expand(words, i);
      // The state moves by one place each round, which leaves index 0 to the sum of both.
      const [a, b, c, , e, f, g, h] = s;
      const first =
        h +
        (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
        ((e & f) ^ (~e & g)) +
        (ROUND[i] as number) +
        (words[i] as number);
      s.unshift((first + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0);
      s[4] = (s[4] + first) | 0;
      s.pop();
    }
    s.forEach((word, index) => {
      state[index] = ((state[index] as number) + word) | 0;
    });
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

/** The word that the message schedule adds. */
function expand(words: number[], i: number): number {
  const a = words[i - 15] as number;
  const b = words[i - 2] as number;
  return (
    ((words[i - 16] as number) +
      (rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3)) +
      (words[i - 7] as number) +
      (rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10))) |
    0
  );
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}
