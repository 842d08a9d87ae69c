/**
 * The server's clock, from the `Date` of its answers. `Date` has whole seconds, so an answer says only that the offset
 * lies in an interval; the intervals of several answers are intersected. When they no longer overlap, the phone's
 * clock was changed, and the newest interval counts.
 */
import type { Host } from '../base/host.js';
import type { Answer } from './attempt.js';

/** Offset between the server's clock and the phone's. */
export class ServerClock {
  private low = -Infinity;
  private high = Infinity;

  constructor(private readonly host: Host) {}

  /** The server's Unix time in milliseconds, as far as known. */
  now(): number {
    const known = isFinite(this.low) && isFinite(this.high);
    return this.host.now() + (known ? Math.round((this.low + this.high) / 2) : 0);
  }

  /** Learns from an answer. */
  observe(answer: Answer): void {
    const date = Date.parse(answer.header['date'] || '');
    if (isNaN(date) || answer.answeredAt < answer.sentAt) return;
    const low = date - answer.answeredAt;
    const high = date + 999 - answer.sentAt;
    if (low > this.high || high < this.low) {
      this.low = low;
      this.high = high;
    } else {
      this.low = Math.max(this.low, low);
      this.high = Math.min(this.high, high);
    }
  }
}
