/** The calling conventions of `wx`: success, fail and complete callbacks, and promises where WeChat has them. */

/** What a failed call reports. `errno` exists from base library 2.24.0. */
export interface WxFailure {
  readonly errMsg: string;
  readonly errCode?: number;
  readonly errno?: number;
}

/** The callbacks that most calls accept. */
export interface Callbacks<R> {
  success?(result: R): void;
  fail?(failure: WxFailure): void;
  complete?(result: R | WxFailure): void;
}

/** Thrown inside the stand-in to fail a call of `wx` with these fields. */
export class WxError extends Error {
  constructor(readonly failure: WxFailure) {
    super(failure.errMsg);
  }
}

/** Returns an error for `NAME:fail REASON`. */
export function failure(name: string, reason: string, code?: { errCode?: number; errno?: number }): WxError {
  return new WxError(Object.assign({ errMsg: `${name}:fail ${reason}` }, code));
}

/** Delivers the outcome of a call to its callbacks; `deliver` decides whether the game still hears of it. */
export function callback<R>(
  deliver: (run: () => void) => void,
  name: string,
  options: Callbacks<R> | undefined,
  work: Promise<R>,
): void {
  work.then(
    (result) =>
      deliver(() => {
        if (options && options.success) options.success(result);
        if (options && options.complete) options.complete(result);
      }),
    (error: unknown) =>
      deliver(() => {
        const failed = toFailure(name, error);
        if (options && options.fail) options.fail(failed);
        if (options && options.complete) options.complete(failed);
      }),
  );
}

/** Like `callback`, and returns a promise when no callback was given, as WeChat's promise forms do. */
export function promised<R>(
  deliver: (run: () => void) => void,
  name: string,
  options: Callbacks<R> | undefined,
  work: Promise<R>,
): Promise<R> {
  if (options && (options.success || options.fail || options.complete)) {
    callback(deliver, name, options, work);
    return undefined as unknown as Promise<R>;
  }
  return new Promise<R>((resolve, reject) =>
    work.then(
      (result) => deliver(() => resolve(result)),
      (error: unknown) => deliver(() => reject(toFailure(name, error))),
    ),
  );
}

function toFailure(name: string, error: unknown): WxFailure {
  if (error instanceof WxError) return error.failure;
  return { errMsg: `${name}:fail ${error instanceof Error ? error.message : String(error)}` };
}

/** Returns calls whose failures have no `errno`, as in old base libraries. */
export function withoutErrno<T extends object>(wx: T): T {
  const result = {} as T;
  for (const name of Object.keys(wx) as (keyof T)[]) {
    const call = wx[name];
    result[name] = typeof call === 'function' ? (strippingErrno(call as unknown as Call) as never) : call;
  }
  return result;
}

type Call = (...values: unknown[]) => unknown;

function strippingErrno(call: Call): Call {
  return (options, ...values) => {
    let given = options;
    if (isOptions(options)) {
      const { fail, complete } = options;
      const heard: Callbacks<object> = {};
      if (fail) heard.fail = (failed) => fail(strip(failed));
      if (complete) heard.complete = (outcome) => complete(strip(outcome));
      given = Object.assign({}, options, heard);
    }
    const result = call(given, ...values);
    return result instanceof Promise
      ? result.catch((failed: WxFailure) => Promise.reject(strip(failed)))
      : result;
  };
}

function isOptions(value: unknown): value is Callbacks<object> {
  return typeof value === 'object' && value !== null && ('fail' in value || 'complete' in value);
}

function strip<R extends object>(outcome: R): R {
  const stripped = Object.assign({}, outcome) as R & { errno?: number };
  delete stripped.errno;
  return stripped;
}
