/** A list of listeners. A listener that throws disturbs neither the SDK nor the other listeners. */
export class Emitter<E> {
  private listeners: ((event: E) => void)[] = [];

  /** Adds a listener; returns a function that removes it. */
  add(listener: (event: E) => void): () => void {
    this.listeners.push(listener);
    return () => {
      this.listeners = this.listeners.filter((known) => known !== listener);
    };
  }

  emit(event: E): void {
    for (const listener of this.listeners.slice()) {
      try {
        listener(event);
      } catch (error) {
        warn('listener', error);
      }
    }
  }
}

declare const console: { warn(...values: unknown[]): void } | undefined;

/** Writes to the console of the developer. */
export function warn(message: string, ...values: unknown[]): void {
  if (typeof console === 'object') console.warn(`[avalon] ${message}`, ...values);
}
