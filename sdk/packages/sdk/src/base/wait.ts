/** Waiting that ends early: by a cancelled call, by the foreground, or by the network. */
import type { CancelToken } from './cancel.js';
import type { Host } from './host.js';

/**
 * What may end a wait: an emitter of anything.
 *
 * @internal
 */
interface Source {
  listen(listener: () => void): () => void;
}

/** Resolves after `ms`, or as soon as one of the sources fires. */
export function wait(host: Host, ms: number, cancel?: CancelToken, ...early: Source[]): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      host.clearTimeout(timer);
      for (const stop of stops) stop();
      resolve();
    };
    const timer = host.setTimeout(done, ms);
    const stops = early.map((source) => source.listen(done));
    if (cancel) {
      stops.push(cancel.onCancel(done));
      if (cancel.cancelled) done();
    }
  });
}

/** Capped exponential back-off with full jitter, in milliseconds. */
export function backoff(count: number, base: number, cap: number): number {
  return base / 2 + Math.random() * (Math.min(cap, base * Math.pow(2, count)) - base / 2);
}
