/**
 * Purchases. One intent has one order, whatever is repeated; one sheet is open at a time; a sheet's report decides
 * nothing: the order is asked for, at once and then less often, also after the call has returned.
 */
import type { Item, Order, OrderStatus, Product } from '../api/types.js';
import { checked, field, isItem, isItems, isOrder, isProducts, listOf, numbers } from '../api/read.js';
import { cancellable, type Cancellable } from '../base/cancel.js';
import { Emitter } from '../base/emitter.js';
import { invalid, toError } from '../base/errors.js';
import type { Core } from '../core.js';
import { queryOf } from '../http/query.js';
import type { CoinBalance, Coins } from './coins.js';
import { Purchase, type PayResult } from './purchase.js';
import { Watch } from './watch.js';

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

const readOrder = field('order', isOrder);

/** Creates the payment functions; `resume` follows the orders of the former start. */
export function createPayments(core: Core): { payments: Payments; coins: Coins; resume(): void } {
  const { http, device, ids } = core;
  const finals = new Emitter<Order>();
  const order = (orderId: string, options: Cancellable = {}): Promise<Order> =>
    http.get(`/api/wx/getOrder/${encodeURIComponent(orderId)}`, readOrder, options);
  const cancel = async (orderId: string, options: Cancellable = {}): Promise<Order> => {
    try {
      return await http.post(
        `/api/wx/cancelOrder/${encodeURIComponent(orderId)}`,
        undefined,
        readOrder,
        options,
      );
    } catch (error) {
      if (toError(error).code === 'ORDER_STATE') return order(orderId, options);
      throw error;
    }
  };
  const watch = new Watch(core, order, finals);
  const purchase = new Purchase(core, watch, cancel);
  const payments: Payments = {
    products: ({ cancel: token }: Cancellable = {}) =>
      http.get(`/api/wx/products${queryOf({ platform: device.platform })}`, field('products', isProducts), {
        anonymous: true,
        cancel: token,
      }),
    async pay(productId, quantity, options = {}) {
      checkPurchase(productId, quantity);
      return cancellable(purchase.start(productId, quantity, options.wait), options.cancel);
    },
    onOrder: (listener) => finals.add(listener),
    order,
    orders: (filter = {}) =>
      http.get(`/api/wx/orders${queryOf({ ...filter })}`, readOrders, { cancel: filter.cancel }),
    cancel,
    inventory: (options) => http.get('/api/wx/inventory', field('items', isItems), options),
    async consume(productId, quantity, { key = ids.next(), cancel: token } = {}) {
      checkPurchase(productId, quantity);
      const body = { productId, quantity };
      return http.post('/api/wx/consume', body, field('item', isItem), {
        idempotencyKey: key,
        cancel: token,
      });
    },
  };
  const coins: Coins = {
    balance: (options) => http.get('/api/wx/coins', readBalance, options),
    async spend(productId, quantity, options = {}) {
      checkPurchase(productId, quantity);
      return cancellable(purchase.start(productId, quantity, options.wait, 'coins'), options.cancel);
    },
  };
  return { payments, coins, resume: () => watch.resume() };
}

/** Wrong arguments are mistakes of the program, found at the first try. */
function checkPurchase(productId: string, quantity: number): void {
  if (!/^[\w-]{1,32}$/.test(productId)) throw invalid('productId');
  if (!(quantity >= 1 && quantity <= 10000 && Math.floor(quantity) === quantity)) throw invalid('quantity');
}

const readOrders = checked<OrderPage>((body) => listOf(body['orders'], isOrder));
const readBalance = checked<CoinBalance>((body) => numbers(body, 'balance'));
