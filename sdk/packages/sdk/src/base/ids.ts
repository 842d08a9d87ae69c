/**
 * Random identifiers. They must be unique, not secret: without WeChat's secure source (base library 2.17.3) they mix
 * `Math.random`, the time and a counter.
 */
import { hex } from './bytes.js';
import type { Host } from './host.js';
import { attempt } from './values.js';

/** Creates ids of 32 hexadecimal digits. */
export type Ids = () => string;

export function createIds(host: Host): Ids {
  let counter = 0;
  let seed = '';
  // Without the source this throws, and the fallback is good enough for ids.
  attempt(() =>
    (host.wx.getUserCryptoManager as NonNullable<typeof host.wx.getUserCryptoManager>)().getRandomValues({
      length: 8,
      success: ({ randomValues }) => {
        seed = hex(new Uint8Array(randomValues)).slice(0, 8);
      },
    }),
  );
  const last = (digits: number, value: number): string =>
    ('00000000000' + Math.floor(value).toString(16)).slice(-digits);
  const random = (): string => last(8, Math.random() * 0x100000000);
  return () => last(12, host.now()) + (seed || random()) + random() + last(4, ++counter);
}
