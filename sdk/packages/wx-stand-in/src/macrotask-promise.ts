/**
 * The `Promise` of old iOS versions: callbacks of `then` run as timers, after timers that were set earlier. Load the
 * code under test in a realm whose `Promise` is this one to find code that relies on the order of microtasks.
 */

type State<T> = { kind: 'pending' } | { kind: 'fulfilled'; value: T } | { kind: 'rejected'; reason: unknown };

/** Returns a Promise constructor whose callbacks run through the given `setTimeout`. */
export function macrotaskPromise(
  setTimeout: (callback: () => void, delay: number) => unknown,
): PromiseConstructor {
  class MacrotaskPromise<T> {
    private state: State<T> = { kind: 'pending' };
    private waiting: (() => void)[] = [];

    constructor(
      run: (resolve: (value: T | PromiseLike<T>) => void, reject: (reason?: unknown) => void) => void,
    ) {
      let called = false;
      const once =
        <A>(settle: (argument: A) => void) =>
        (argument: A): void => {
          if (called) return;
          called = true;
          settle(argument);
        };
      const reject = once((reason: unknown) => this.settle({ kind: 'rejected', reason }));
      const resolve = once((value: T | PromiseLike<T>) => this.resolve(value));
      try {
        run(resolve, reject);
      } catch (error) {
        reject(error);
      }
    }

    then<A, B>(onValue?: ((value: T) => A) | null, onReason?: ((reason: unknown) => B) | null): unknown {
      return new MacrotaskPromise<unknown>((resolve, reject) => {
        const run = (): void => {
          const state = this.state;
          try {
            if (state.kind === 'fulfilled') resolve(onValue ? onValue(state.value) : state.value);
            else if (state.kind === 'rejected') {
              if (onReason) resolve(onReason(state.reason));
              else reject(state.reason);
            }
          } catch (error) {
            reject(error);
          }
        };
        if (this.state.kind === 'pending') this.waiting.push(run);
        else setTimeout(run, 0);
      });
    }

    catch<B>(onReason?: ((reason: unknown) => B) | null): unknown {
      return this.then(undefined, onReason);
    }

    static resolve<T>(value: T | PromiseLike<T>): unknown {
      return value instanceof MacrotaskPromise ? value : new MacrotaskPromise<T>((resolve) => resolve(value));
    }

    static reject(reason: unknown): unknown {
      return new MacrotaskPromise((_resolve, reject) => reject(reason));
    }

    static all(promises: PromiseLike<unknown>[]): unknown {
      return new MacrotaskPromise<unknown[]>((resolve, reject) => {
        const values: unknown[] = [];
        let left = promises.length;
        if (left === 0) resolve(values);
        promises.forEach((promise, index) =>
          new MacrotaskPromise<unknown>((done) => done(promise)).then((value) => {
            values[index] = value;
            if (--left === 0) resolve(values);
          }, reject),
        );
      });
    }

    static race(promises: PromiseLike<unknown>[]): unknown {
      return new MacrotaskPromise<unknown>((resolve, reject) => {
        for (const promise of promises)
          new MacrotaskPromise<unknown>((done) => done(promise)).then(resolve, reject);
      });
    }

    private resolve(value: T | PromiseLike<T>): void {
      if (
        value !== null &&
        typeof value === 'object' &&
        typeof (value as PromiseLike<T>).then === 'function'
      ) {
        (value as PromiseLike<T>).then(
          (inner) => this.resolve(inner),
          (reason: unknown) => this.settle({ kind: 'rejected', reason }),
        );
      } else {
        this.settle({ kind: 'fulfilled', value: value as T });
      }
    }

    private settle(state: State<T>): void {
      this.state = state;
      for (const run of this.waiting.splice(0)) setTimeout(run, 0);
    }
  }
  return MacrotaskPromise as unknown as PromiseConstructor;
}
