/** The one error class of the SDK. */

/** Codes of errors that arise on the phone. Errors of the service have its codes (docs/errors.md). */
export type ClientErrorCode =
  | 'NETWORK'
  | 'TIMEOUT'
  | 'CANCELLED'
  | 'MALFORMED_ANSWER'
  | 'SIGN_IN_FAILED'
  | 'SIGN_IN_TOO_OFTEN'
  | 'PAYMENT_IN_PROGRESS'
  | 'UNSUPPORTED'
  | 'REFUSED_BY_PLAYER'
  | 'ARGUMENT_INVALID';

/** Facts about an error, all optional except the code. */
export interface ErrorDetails {
  readonly message?: string | undefined;
  readonly status?: number | undefined;
  readonly retryable?: boolean | undefined;
  readonly requestId?: string | undefined;
  /** Milliseconds after which a repeat makes sense. */
  readonly retryAfter?: number | undefined;
  /** The order that the service created before it failed. */
  readonly orderId?: string | undefined;
  /** WeChat's own code. */
  readonly wxCode?: number | undefined;
}

/** Every failure of a call of the SDK. */
export class AvalonError extends Error {
  /** A stable upper-case word: a `ClientErrorCode`, or a code of the service. */
  readonly code!: string;
  /** The HTTP status; 0 when no answer of the service arrived. */
  readonly status!: number;
  /** Whether the same call may succeed later without a change. */
  readonly retryable!: boolean;
  /** Identifies the request in the service's logs. */
  readonly requestId: string | undefined;
  readonly retryAfter: number | undefined;
  readonly orderId: string | undefined;
  readonly wxCode: number | undefined;

  constructor(code: string, details: ErrorDetails = {}) {
    super();
    // Subclasses of Error lose their prototype in code that is compiled to ES5.
    Object.setPrototypeOf(this, AvalonError.prototype);
    Object.assign(this, details, {
      name: 'AvalonError',
      message: details.message || code,
      code,
      status: details.status || 0,
      retryable: details.retryable === true,
    });
  }
}

/** Returns any thrown value as an `AvalonError`. */
export function toError(error: unknown): AvalonError {
  return error instanceof AvalonError
    ? error
    : new AvalonError('NETWORK', { message: String((error && (error as Error).message) || error) });
}

/** Returns the error of a call with a wrong argument. */
export function invalid(message: string): AvalonError {
  return new AvalonError('ARGUMENT_INVALID', { message });
}
