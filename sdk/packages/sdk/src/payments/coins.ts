/** The game currency that WeChat keeps (virtual payment). */
import { isNumber, isRecord } from '../base/store.js';
import type { Http } from '../http/http.js';
import { checkPurchase, type Payments } from './payments.js';
import type { PayResult, Purchase } from './purchase.js';

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
  balance(): Promise<CoinBalance>;
  /** Buys a product with coins. */
  spend(productId: string, quantity: number): Promise<PayResult>;
}

export function createCoins(http: Http, payments: Payments & { purchase: Purchase }): Coins {
  return {
    balance: () => http.call({ method: 'GET', path: '/api/wx/coins', read: readBalance }),
    spend(productId, quantity) {
      checkPurchase(productId, quantity);
      return payments.purchase.start(productId, quantity, undefined, 'coins');
    },
  };
}

function readBalance(body: unknown): CoinBalance | undefined {
  if (!isRecord(body) || !isNumber(body['balance'])) return undefined;
  return {
    balance: body['balance'],
    granted: isNumber(body['granted']) ? body['granted'] : 0,
    asOf: String(body['asOf'] || ''),
    stale: body['stale'] === true,
  };
}
