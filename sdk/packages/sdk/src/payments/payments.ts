/**
 * Purchases. One intent has one order, whatever is repeated; one sheet is open at a time; a sheet's report decides
 * nothing: the order is asked for, at once and then less often, also after the call has returned.
 */
import type { Item, Order, OrderStatus, Product } from '../api/types.js';
import { field, isItem, isItems, isOrder, isProducts } from '../api/read.js';
import type { CancelToken } from '../base/cancel.js';
import { Emitter } from '../base/emitter.js';
import { invalid, toError } from '../base/errors.js';
import { isNumber, isRecord } from '../base/store.js';
import type { Core } from '../core.js';
import { queryOf } from '../http/query.js';
import type { CoinBalance, Coins } from './coins.js';
import { Purchase, type PayResult } from './purchase.js';
import { Watch } from './watch.js';

export interface OrderPage {
  readonly orders: Order[];
  readonly nextCursor: string | null;
}

/** Options of `pay`. */
export interface PayOptions {
  /** How long to wait for the service to confirm a payment, in milliseconds; 15,000 by default. */
  readonly wait?: number;
}

/** Purchases and what they bring. */
export interface Payments {
  /** The products that this phone can buy. */
  products(): Promise<Product[]>;
  /** Sells a product. Call it from a tap. Rejects only when no order came about. */
  pay(productId: string, quantity: number, options?: PayOptions): Promise<PayResult>;
  /** Hears of each order that ends, also of those that a former start left open. */
  onOrder(listener: (order: Order) => void): () => void;
  order(orderId: string): Promise<Order>;
  orders(filter?: { cursor?: string; limit?: number; status?: OrderStatus }): Promise<OrderPage>;
  /** Cancels an unpaid order; resolves with the order, which is paid when the payment was faster. */
  cancel(orderId: string): Promise<Order>;
  inventory(cancel?: CancelToken): Promise<Item[]>;
  /** Uses items up; resolves with what is left. `key` identifies the use, to repeat it safely. */
  consume(productId: string, quantity: number, key?: string): Promise<Item>;
}

const readOrder = field('order', isOrder);

/** Creates the payment functions; `resume` follows the orders of the former start. */
export function createPayments(core: Core): { payments: Payments; coins: Coins; resume(): void } {
  const { http, device, ids } = core;
  const finals = new Emitter<Order>();
  const order = (orderId: string): Promise<Order> =>
    http.get(`/api/wx/getOrder/${encodeURIComponent(orderId)}`, readOrder);
  const cancel = async (orderId: string): Promise<Order> => {
    try {
      return await http.post(`/api/wx/cancelOrder/${encodeURIComponent(orderId)}`, undefined, readOrder);
    } catch (error) {
      if (toError(error).code === 'ORDER_STATE') return order(orderId);
      throw error;
    }
  };
  const watch = new Watch(core, order, finals);
  const purchase = new Purchase(core, watch, cancel);
  const payments: Payments = {
    products: () =>
      http.get(`/api/wx/products${queryOf({ platform: device.platform })}`, field('products', isProducts), {
        anonymous: true,
      }),
    async pay(productId, quantity, options) {
      checkPurchase(productId, quantity);
      return purchase.start(productId, quantity, options && options.wait);
    },
    onOrder: (listener) => finals.add(listener),
    order,
    orders: (filter = {}) => http.get(`/api/wx/orders${queryOf(filter)}`, readOrders),
    cancel,
    inventory: (token) => http.get('/api/wx/inventory', field('items', isItems), { cancel: token }),
    async consume(productId, quantity, key = ids.next()) {
      checkPurchase(productId, quantity);
      const body = { productId, quantity };
      return http.post('/api/wx/consume', body, field('item', isItem), { idempotencyKey: key });
    },
  };
  const coins: Coins = {
    balance: () => http.get('/api/wx/coins', readBalance),
    async spend(productId, quantity) {
      checkPurchase(productId, quantity);
      return purchase.start(productId, quantity, undefined, 'coins');
    },
  };
  return { payments, coins, resume: () => watch.resume() };
}

/** Wrong arguments are mistakes of the program, found at the first try. */
function checkPurchase(productId: string, quantity: number): void {
  if (!/^[\w-]{1,32}$/.test(productId)) throw invalid('productId has 1 to 32 letters, digits, - and _');
  if (!(quantity >= 1 && quantity <= 10000 && Math.floor(quantity) === quantity)) {
    throw invalid('quantity is a whole number from 1 to 10,000');
  }
}

function readOrders(body: unknown): OrderPage | undefined {
  const valid = isRecord(body) && Array.isArray(body['orders']) && body['orders'].every(isOrder);
  return valid ? (body as unknown as OrderPage) : undefined;
}

function readBalance(body: unknown): CoinBalance | undefined {
  return isRecord(body) && isNumber(body['balance']) ? (body as unknown as CoinBalance) : undefined;
}
