/** A list of listeners. A listener that throws disturbs neither the SDK nor the other listeners. */

/** @internal */
export interface Emitter<E> {
  /** Adds a listener; returns a function that removes it. */
  listen(listener: (event: E) => void): () => void;
  emit(event: E): void;
}

export function emitter<E>(): Emitter<E> {
  let listeners: ((event: E) => void)[] = [];
  return {
    listen(listener) {
      listeners.push(listener);
      return () => {
        listeners = listeners.filter((known) => known !== listener);
      };
    },
    emit(event) {
      for (const listener of listeners.slice()) {
        try {
          listener(event);
        } catch (error) {
          warn('listener', error);
        }
      }
    },
  };
}

declare const console: { warn(...values: unknown[]): void } | undefined;

/** Writes to the console of the developer. */
export function warn(message: string, ...values: unknown[]): void {
  if (typeof console === 'object') console.warn(`[avalon] ${message}`, ...values);
}
