/**
 * Purchases. One intent has one order, whatever is repeated; one sheet is open at a time; a sheet's report decides
 * nothing: the order is asked for, at once and then less often, also after the call has returned.
 */
import type { Item, Order, OrderStatus, Product } from '../api/types.js';
import { field, isItem, isItems, isOrder, isProducts } from '../api/read.js';
import type { CancelToken } from '../base/cancel.js';
import { Emitter } from '../base/emitter.js';
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import type { Ids } from '../base/ids.js';
import type { AppState } from '../base/lifecycle.js';
import { isRecord, isString, type Store } from '../base/store.js';
import type { Device } from '../device.js';
import type { Http } from '../http/http.js';
import { Intents } from './intents.js';
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

export interface PaymentParts {
  readonly host: Host;
  readonly http: Http;
  readonly store: Store;
  readonly app: AppState;
  readonly ids: Ids;
  readonly device: Device;
  readonly signInAgain: () => Promise<void>;
  /** Records the report of a sheet. */
  readonly record: (params: { readonly [name: string]: unknown }) => void;
}

const readOrder = field('order', isOrder);

/** Creates the payment functions; `resume` follows the orders of the former start. */
export function createPayments(parts: PaymentParts): Payments & { resume(): void; purchase: Purchase } {
  const { host, http, app, ids, device } = parts;
  const finals = new Emitter<Order>();
  const intents = new Intents(parts.store);
  const order = (orderId: string): Promise<Order> =>
    http.call({ method: 'GET', path: `/api/wx/getOrder/${encodeURIComponent(orderId)}`, read: readOrder });
  const cancel = async (orderId: string): Promise<Order> => {
    const path = `/api/wx/cancelOrder/${encodeURIComponent(orderId)}`;
    try {
      return await http.call({ method: 'POST', path, read: readOrder });
    } catch (error) {
      if ((error as AvalonError).code === 'ORDER_STATE') return order(orderId);
      throw error;
    }
  };
  const watch = new Watch({ host, app, intents, ask: order, finals });
  const purchase = new Purchase(Object.assign({ intents, watch, cancel, order }, parts));
  return {
    purchase,
    resume: () => watch.resume(),
    products: () =>
      http.call({
        method: 'GET',
        path: `/api/wx/products?platform=${encodeURIComponent(device.platform)}`,
        read: field('products', isProducts),
        anonymous: true,
      }),
    pay(productId, quantity, options) {
      checkPurchase(productId, quantity);
      return purchase.start(productId, quantity, (options && options.wait) || undefined);
    },
    onOrder: (listener) => finals.add(listener),
    order,
    orders: (filter = {}) =>
      http.call({ method: 'GET', path: `/api/wx/orders${queryOf(filter)}`, read: readOrders }),
    cancel,
    inventory: (token) =>
      http.call({ method: 'GET', path: '/api/wx/inventory', read: field('items', isItems), cancel: token }),
    consume(productId, quantity, key = ids.next()) {
      checkPurchase(productId, quantity);
      const body = { productId, quantity };
      return http.call({
        method: 'POST',
        path: '/api/wx/consume',
        body,
        idempotencyKey: key,
        read: field('item', isItem),
      });
    },
  };
}

/** Wrong arguments are mistakes of the program, found at the first try. */
export function checkPurchase(productId: string, quantity: number): void {
  const valid = isString(productId) && /^[\w-]{1,32}$/.test(productId);
  if (!valid)
    throw new AvalonError('ARGUMENT_INVALID', { message: 'productId has 1 to 32 letters, digits, - and _' });
  if (!(quantity >= 1 && quantity <= 10000 && Math.floor(quantity) === quantity)) {
    throw new AvalonError('ARGUMENT_INVALID', { message: 'quantity is a whole number from 1 to 10,000' });
  }
}

function readOrders(body: unknown): OrderPage | undefined {
  if (!isRecord(body) || !Array.isArray(body['orders']) || !body['orders'].every(isOrder)) return undefined;
  const cursor = body['nextCursor'];
  return { orders: body['orders'], nextCursor: isString(cursor) ? cursor : null };
}

/** Returns `?a=1&b=2` of the defined values. */
export function queryOf(values: object): string {
  const pairs = Object.keys(values)
    .filter((name) => (values as { [name: string]: unknown })[name] !== undefined)
    .map((name) => `${name}=${encodeURIComponent(String((values as { [name: string]: unknown })[name]))}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
