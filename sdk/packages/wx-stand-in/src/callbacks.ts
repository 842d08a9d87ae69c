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
