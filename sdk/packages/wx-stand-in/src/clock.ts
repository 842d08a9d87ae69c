/**
 * Time of the stand-in. Everything that waits (timers, requests, background limits) asks one clock, so a test can
 * run minutes in milliseconds. `realClock` is for browsers and demonstrations, `VirtualClock` for tests.
 */

/** Identifies a timer of a clock. */
export type TimerId = number;

/** The source of time of a world. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  setTimeout(callback: () => void, delay: number): TimerId;
  clearTimeout(id: TimerId): void;
}

declare function setTimeout(callback: () => void, delay: number): unknown;
declare function clearTimeout(id: unknown): void;

/** Returns a clock that follows the machine's. */
export function realClock(): Clock {
  const timers = new Map<TimerId, unknown>();
  let last = 0;
  return {
    now: () => Date.now(),
    setTimeout(callback, delay) {
      const id = ++last;
      timers.set(
        id,
        setTimeout(() => {
          timers.delete(id);
          callback();
        }, delay),
      );
      return id;
    },
    clearTimeout(id) {
      clearTimeout(timers.get(id));
      timers.delete(id);
    },
  };
}

interface Timer {
  readonly id: TimerId;
  readonly due: number;
  readonly callback: () => void;
}

/** A clock that moves only when a test advances it. */
export class VirtualClock implements Clock {
  private time: number;
  private last = 0;
  private timers: Timer[] = [];

  /** @param start - Unix time in milliseconds at which the clock begins. */
  constructor(start = Date.UTC(2026, 0, 1)) {
    this.time = start;
  }

  now(): number {
    return this.time;
  }

  setTimeout(callback: () => void, delay: number): TimerId {
    const id = ++this.last;
    this.timers.push({ id, due: this.time + Math.max(0, delay || 0), callback });
    return id;
  }

  clearTimeout(id: TimerId): void {
    this.timers = this.timers.filter((timer) => timer.id !== id);
  }

  /** Runs everything that is due within `ms`, in order, and lets promises settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await settle();
    for (let next = this.next(end); next; next = this.next(end)) {
      this.timers = this.timers.filter((timer) => timer !== next);
      this.time = Math.max(this.time, next.due);
      next.callback();
      await settle();
    }
    this.time = end;
  }

  /** Advances in small steps until the promise settles, for at most `limit` milliseconds. */
  async until<T>(promise: PromiseLike<T>, limit = 600000): Promise<T> {
    // The outcome is taken here: awaiting a promise whose callbacks are timers of this clock would never end.
    const settled: { outcome?: () => T } = {};
    promise.then(
      (value) => (settled.outcome = () => value),
      (error) =>
        (settled.outcome = () => {
          throw error;
        }),
    );
    await settle();
    for (let waited = 0; !settled.outcome && waited < limit;) {
      const due = this.nextDue();
      const step =
        due === undefined ? limit - waited : Math.min(Math.max(0, due - this.time), limit - waited);
      await this.advance(step);
      waited += Math.max(step, 1);
    }
    if (!settled.outcome) throw new Error(`The promise did not settle within ${limit} ms of virtual time.`);
    return settled.outcome();
  }

  private nextDue(): number | undefined {
    return this.timers.length === 0 ? undefined : Math.min(...this.timers.map((timer) => timer.due));
  }

  private next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.timers) {
      if (timer.due <= end && (!first || timer.due < first.due)) first = timer;
    }
    return first;
  }
}

declare const setImmediate: ((callback: () => void) => unknown) | undefined;

/** Waits until every promise callback that is ready has run. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
}
