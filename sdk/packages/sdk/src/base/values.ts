/** Guards of unknown values, and what every part does with values. */

export function isRecord(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isFunction(value: unknown): value is (...values: never[]) => unknown {
  return typeof value === 'function';
}

export function isString(value: unknown): value is string {
  return typeof value === 'string';
}

export function isNumber(value: unknown): value is number {
  return typeof value === 'number' && isFinite(value);
}

/** Returns the value if it is a text. */
export function text(value: unknown): string | undefined {
  return isString(value) ? value : undefined;
}

/** Returns the object without the values that are undefined. */
export function defined<T extends object>(values: T): Present<T> {
  for (const name of Object.keys(values) as (keyof T)[]) {
    if (values[name] === undefined) delete values[name];
  }
  return values as unknown as Present<T>;
}

/** Optional where the value may be undefined. */
type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Returns what `work` returns, or undefined when it throws. */
export function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** Returns `work` so that callers share the run that is under way. */
export function shared<A extends unknown[], T>(
  work: (...values: A) => Promise<T>,
): (...values: A) => Promise<T> {
  let running: Promise<T> | undefined;
  return (...values) => {
    if (!running) {
      const done = (): void => {
        running = undefined;
      };
      running = work(...values);
      running.then(done, done);
    }
    return running;
  };
}

/** Ignores what a promise brings; a failure is none of the caller's. */
export function ignore(value: unknown): void {
  if (value && isFunction((value as Promise<unknown>).then)) {
    (value as Promise<unknown>).then(nothing, nothing);
  }
}

/** Does nothing. */
export function nothing(): undefined {
  return undefined;
}
