/** Cancellation of calls. */
import { emitter } from './emitter.js';
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
  const { listen, emit } = emitter<void>();
  let cancelled = false;
  return {
    token: {
      get cancelled() {
        return cancelled;
      },
      onCancel: listen,
    },
    cancel() {
      if (cancelled) return;
      cancelled = true;
      emit();
    },
  };
}

/** Whether there is a token and it is cancelled. */
export function isCancelled(token: CancelToken | undefined): boolean {
  return !!token && token.cancelled;
}

/** Rejects with `CANCELLED` as soon as the token is cancelled, whatever the promise does. */
export function cancellable<T>(promise: Promise<T>, token: CancelToken | undefined): Promise<T> {
  if (!token) return promise;
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(new AvalonError('CANCELLED'));
    const stop = token.onCancel(abort);
    if (token.cancelled) abort();
    promise.then(resolve, reject).then(stop);
  });
}
