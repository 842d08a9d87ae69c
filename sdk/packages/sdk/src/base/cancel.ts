/** Cancellation of calls. */
import { AvalonError } from './errors.js';

/** Passed to a call that may be cancelled. */
export interface CancelToken {
  readonly cancelled: boolean;
  /** Registers a listener; returns a function that removes it. */
  onCancel(listener: () => void): () => void;
}

/** The part of every call's options that cancels it: the call rejects with `CANCELLED`. */
export interface Cancellable {
  readonly cancel?: CancelToken | undefined;
}

/** Creates a token and cancels it. */
export interface CancelSource {
  readonly token: CancelToken;
  cancel(): void;
}

/** Returns a source of cancellation. */
export function createCancel(): CancelSource {
  let listeners: (() => void)[] = [];
  let cancelled = false;
  return {
    token: {
      get cancelled() {
        return cancelled;
      },
      onCancel(listener) {
        listeners.push(listener);
        return () => {
          listeners = listeners.filter((known) => known !== listener);
        };
      },
    },
    cancel() {
      if (cancelled) return;
      cancelled = true;
      for (const listener of listeners.splice(0)) listener();
    },
  };
}

/** Rejects with `CANCELLED` as soon as the token is cancelled, whatever the promise does. */
export function cancellable<T>(promise: Promise<T>, token: CancelToken | undefined): Promise<T> {
  if (!token) return promise;
  return new Promise<T>((resolve, reject) => {
    const stop = token.onCancel(() => reject(new AvalonError('CANCELLED')));
    if (token.cancelled) reject(new AvalonError('CANCELLED'));
    promise.then(
      (value) => {
        stop();
        resolve(value);
      },
      (error) => {
        stop();
        reject(error);
      },
    );
  });
}
