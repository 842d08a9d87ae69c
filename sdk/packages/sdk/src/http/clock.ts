/**
 * The server's clock, from the `Date` of its answers. `Date` has whole seconds, so an answer says only that the offset
 * lies in an interval; the intervals of several answers are intersected. When they no longer overlap, the phone's
 * clock was changed, and the newest interval counts.
 */
import type { Host } from '../base/host.js';
import type { Answer } from './attempt.js';

/** @internal */
export interface ServerClock {
  /** The server's Unix time in milliseconds, as far as known. */
  time(): number;
  /** Learns from an answer. */
  observe(answer: Answer): void;
}

export function createClock(host: Host): ServerClock {
  let low = -Infinity;
  let high = Infinity;
  return {
    time: () => host.now() + (Math.round((low + high) / 2) || 0),
    observe({ header, sentAt, answeredAt }) {
      const date = Date.parse(header['date'] || '');
      if (!(date >= 0) || answeredAt < sentAt) return;
      const from = date - answeredAt;
      const to = date + 999 - sentAt;
      if (from > high || to < low) {
        low = from;
        high = to;
      } else {
        low = Math.max(low, from);
        high = Math.min(high, to);
      }
    },
  };
}
