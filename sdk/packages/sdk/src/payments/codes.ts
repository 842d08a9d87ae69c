/** What the codes of WeChat's payment sheets mean for an order. */

/**
 * `cancelled`: the player closed the sheet. `sign-again`: the session key changed, the same order is signed again.
 * `ask`: the order may be paid, its state decides. `refused`: no payment happened.
 */
export type SheetVerdict = 'paid' | 'cancelled' | 'sign-again' | 'ask' | 'refused';

/**
 * The outcome of a sheet: WeChat's code, 0 for success, undefined when it gave none.
 *
 * @internal
 */
export interface SheetResult {
  readonly verdict: SheetVerdict;
  readonly code: number | undefined;
  readonly message: string;
}

const CANCELLED = /^(-2|1|7)$/;
const SIGN_AGAIN = /^-1501[25]$/;
/** Definite refusals: parameters, permissions, limits. Everything else leaves the order open. */
const REFUSED = /^([34]|-6|100[013]|-150(0[12569]|1[013467])|701001)$/;

/** Judges a failed sheet. */
export function judge(code: number | undefined, message: string): SheetResult {
  const text = String(code);
  let verdict: SheetVerdict = 'ask';
  if (code === undefined ? /cancel/.test(message) : CANCELLED.test(text)) verdict = 'cancelled';
  if (SIGN_AGAIN.test(text)) verdict = 'sign-again';
  if (REFUSED.test(text)) verdict = 'refused';
  return { verdict, code, message };
}
