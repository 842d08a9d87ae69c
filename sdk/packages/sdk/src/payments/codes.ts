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

const CANCELLED = [-2, 1, 7];
const SIGN_AGAIN = [-15015, -15012];
/** Definite refusals: parameters, permissions, limits. Everything else leaves the order open. */
const REFUSED = [
  3, 4, -6, 1000, 1001, 1003, -15001, -15002, -15005, -15006, -15009, -15010, -15011, -15013, -15014, -15016,
  -15017, 701001,
];

/** Judges a failed sheet. */
export function judge(code: number | undefined, message: string): SheetResult {
  let verdict: SheetVerdict = 'ask';
  if (code === undefined) verdict = /cancel/.test(message) ? 'cancelled' : 'ask';
  else if (CANCELLED.indexOf(code) >= 0) verdict = 'cancelled';
  else if (SIGN_AGAIN.indexOf(code) >= 0) verdict = 'sign-again';
  else if (REFUSED.indexOf(code) >= 0) verdict = 'refused';
  return { verdict, code, message };
}
