/**
 * Purchases. One intent has one order, whatever is repeated; one sheet is open at a time; a sheet's report decides
 * nothing: the order is asked for, at once and then less often, also after the call has returned.
 */
import { field, list, whole } from '../api/read.js';
import type { Item, Order, OrderStatus, Product } from '../api/types.js';
import { cancellable, type Cancellable } from '../base/cancel.js';
import { emitter } from '../base/emitter.js';
import { invalid, toError } from '../base/errors.js';
import { part } from '../core.js';
import { queryOf } from '../http/query.js';
import type { CoinBalance, Coins } from './coins.js';
import { createPurchase, type PayResult } from './purchase.js';
import { createWatch } from './watch.js';

export interface OrderPage {
  readonly orders: Order[];
  readonly nextCursor: string | null;
}

/** Options of `consume`. */
export interface ConsumeOptions extends Cancellable {
  /** Identifies the use, to repeat it safely; by default a new one. */
  readonly key?: string;
}

/** Options of `pay`. A cancelled purchase goes on in the background: `onOrder` hears of its end. */
export interface PayOptions extends Cancellable {
  /** How long to wait for the service to confirm a payment, in milliseconds; 15,000 by default. */
  readonly wait?: number;
}

/** Purchases and what they bring. */
export interface Payments {
  /** The products that this phone can buy. */
  products(options?: Cancellable): Promise<Product[]>;
  /** Sells a product. Call it from a tap. Rejects only when no order came about. */
  pay(productId: string, quantity: number, options?: PayOptions): Promise<PayResult>;
  /** Hears of each order that ends, also of those that a former start left open. */
  onOrder(listener: (order: Order) => void): () => void;
  order(orderId: string, options?: Cancellable): Promise<Order>;
  orders(
    filter?: Cancellable & {
      readonly cursor?: string;
      readonly limit?: number;
      readonly status?: OrderStatus;
    },
  ): Promise<OrderPage>;
  /** Cancels an unpaid order; resolves with the order, which is paid when the payment was faster. */
  cancel(orderId: string, options?: Cancellable): Promise<Order>;
  inventory(options?: Cancellable): Promise<Item[]>;
  /** Uses items up; resolves with what is left. */
  consume(productId: string, quantity: number, options?: ConsumeOptions): Promise<Item>;
}

const ITEM = 'productId #quantity';
const ORDER = '_id status';
const readOrder = field<Order>('order', ORDER);

/** Part: purchases, by money and by coins. */
export const payments = part((core): { readonly payments: Payments; readonly coins: Coins } => {
  const { http, device, ids } = core;
  const finals = emitter<Order>();
  const order = (orderId: string, options?: Cancellable): Promise<Order> =>
    http.load(`getOrder/${encodeURIComponent(orderId)}`, readOrder, options);
  const cancel = async (orderId: string, options?: Cancellable): Promise<Order> => {
    try {
      return await http.submit(`cancelOrder/${encodeURIComponent(orderId)}`, undefined, readOrder, options);
    } catch (error) {
      if (toError(error).code === 'ORDER_STATE') return order(orderId, options);
      throw error;
    }
  };
  const watch = createWatch(core, order, finals);
  const purchase = createPurchase(core, watch, cancel);
  const buy =
    (payWith?: 'coins') =>
    async (productId: string, quantity: number, options: PayOptions = {}): Promise<PayResult> => {
      checkPurchase(productId, quantity);
      return cancellable(purchase(productId, quantity, options.wait, payWith), options.cancel);
    };
  core.whenSignedIn(watch.resume);
  return {
    payments: {
      products: ({ cancel: token } = {}) =>
        http.load(
          `products${queryOf({ platform: device.platform })}`,
          list<Product>('products', 'productId'),
          {
            anonymous: true,
            cancel: token,
          },
        ),
      pay: buy(),
      onOrder: finals.listen,
      order,
      orders: (filter = {}) =>
        http.load(`orders${queryOf(filter)}`, whole<OrderPage>('', 'orders', ORDER), {
          cancel: filter.cancel,
        }),
      cancel,
      inventory: (options) => http.load('inventory', list<Item>('items', ITEM), options),
      async consume(productId, quantity, { key = ids(), cancel: token } = {}) {
        checkPurchase(productId, quantity);
        return http.submit('consume', { productId, quantity }, field<Item>('item', ITEM), {
          idempotencyKey: key,
          cancel: token,
        });
      },
    },
    coins: {
      balance: (options) => http.load('coins', whole<CoinBalance>('#balance'), options),
      spend: buy('coins'),
    },
  };
});

/** Wrong arguments are mistakes of the program, found at the first try. */
function checkPurchase(productId: string, quantity: number): void {
  if (!/^[\w-]{1,32}$/.test(productId)) throw invalid('productId');
  if (!(quantity >= 1 && quantity <= 10000 && quantity % 1 === 0)) throw invalid('quantity');
}
