/**
 * Random identifiers. They must be unique, not secret: without WeChat's secure source (base library 2.17.3) they mix
 * `Math.random`, the time and a counter.
 */
import { isFunction } from './store.js';
import { hex } from './bytes.js';
import type { Host } from './host.js';

/** Creates ids of 32 hexadecimal digits. */
export class Ids {
  private counter = 0;
  private seed = '';

  constructor(private readonly host: Host) {
    const crypto = host.wx.getUserCryptoManager;
    if (!isFunction(crypto)) return;
    try {
      crypto.call(host.wx).getRandomValues({
        length: 8,
        success: ({ randomValues }) => {
          this.seed = hex(new Uint8Array(randomValues));
        },
      });
    } catch {
      // The fallback is good enough for ids.
    }
  }

  next(): string {
    this.counter = (this.counter + 1) % 0x10000;
    const time = part(this.host.now() % 0x1000000000000, 12);
    const seed = this.seed ? this.seed.slice(0, 8) : part(random(8), 8);
    return time + seed + part(random(8), 8) + part(this.counter, 4);
  }
}

function random(digits: number): number {
  return Math.floor(Math.random() * Math.pow(16, digits));
}

function part(value: number, digits: number): string {
  return ('000000000000' + Math.floor(value).toString(16)).slice(-digits);
}
