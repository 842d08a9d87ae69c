/** The game currency that WeChat keeps (virtual payment). */
import type { Cancellable } from '../base/cancel.js';
import type { PayOptions } from './payments.js';
import type { PayResult } from './purchase.js';

/** The player's coins, as of `asOf` (ISO 8601). */
export interface CoinBalance {
  readonly balance: number;
  /** The part of the balance that was a present. */
  readonly granted: number;
  readonly asOf: string;
  /** Whether WeChat could not be asked just now. */
  readonly stale: boolean;
}

export interface Coins {
  balance(options?: Cancellable): Promise<CoinBalance>;
  /** Buys a product with coins. */
  spend(productId: string, quantity: number, options?: PayOptions): Promise<PayResult>;
}
