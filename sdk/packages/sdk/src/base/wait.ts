/** Waiting that ends early: by a cancelled call, by the foreground, or by the network. */
import type { CancelToken } from './cancel.js';
import type { Host } from './host.js';

/** Resolves after `ms`, or as soon as one of the sources fires. */
export function wait(
  host: Host,
  ms: number,
  cancel?: CancelToken,
  ...early: { add(listener: () => void): () => void }[]
): Promise<void> {
  return new Promise((resolve) => {
    const stops: (() => void)[] = [];
    const done = (): void => {
      host.clearTimeout(timer);
      for (const stop of stops) stop();
      resolve();
    };
    const timer = host.setTimeout(done, ms);
    for (const source of early) stops.push(source.add(done));
    if (cancel) {
      stops.push(cancel.onCancel(done));
      if (cancel.cancelled) done();
    }
  });
}

/** Capped exponential back-off with full jitter, in milliseconds. */
export function backoff(attempt: number, base: number, cap: number): number {
  const limit = Math.min(cap, base * Math.pow(2, attempt));
  return base / 2 + Math.random() * (limit - base / 2);
}
