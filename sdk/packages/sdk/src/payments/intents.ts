/**
 * Purchases that have begun, in storage: the key of the order, so that one intent never has two orders, and whether a
 * sheet was opened, so that the next start knows which orders to ask for. An intent without a sheet cannot have been
 * paid: the next purchase of the same product continues it, later it is forgotten. One with a sheet stays until its
 * order is final.
 */
import type { Order } from '../api/types.js';
import { listOf, numbers, texts } from '../api/read.js';
import { isString, type Store } from '../base/store.js';

export interface Intent {
  /** The `Idempotency-Key` of the order. */
  readonly key: string;
  readonly productId: string;
  readonly quantity: number;
  /** By the phone's clock. */
  readonly createdAt: number;
  orderId?: string;
  sheetOpened: boolean;
}

const KEY = 'intents';
const MAX_INTENTS = 50;
/** How long a purchase without a sheet may be continued. The service closes scarce orders after five minutes. */
const CONTINUE_MS = 5 * 60 * 1000;

export class Intents {
  private intents: Intent[];

  constructor(private readonly store: Store) {
    this.intents = (store.read(KEY, isIntents) || []).filter(
      (intent) => !intent.sheetOpened || intent.orderId,
    );
  }

  /** Returns a purchase of the same product whose sheet was never opened. */
  unfinished(productId: string, quantity: number, now: number): Intent | undefined {
    this.intents = this.intents.filter(
      (intent) => intent.sheetOpened || (now >= intent.createdAt && now - intent.createdAt < CONTINUE_MS),
    );
    return this.intents.filter(
      (intent) => !intent.sheetOpened && intent.productId === productId && intent.quantity === quantity,
    )[0];
  }

  list(): Intent[] {
    return this.intents.slice();
  }

  /** Stores a new or changed intent. */
  put(intent: Intent): void {
    if (this.intents.indexOf(intent) < 0) this.intents.push(intent);
    this.intents = this.intents.slice(-MAX_INTENTS);
    this.store.write(KEY, this.intents);
  }

  remove(intent: Intent): void {
    this.intents = this.intents.filter((known) => known !== intent);
    this.store.write(KEY, this.intents);
  }
}

/** Whether the state of an order changes no more, as far as a purchase is concerned. */
export function isFinal({ status }: Order): boolean {
  return status !== 'pending';
}

function isIntents(value: unknown): value is Intent[] {
  return listOf(
    value,
    (intent): intent is Intent =>
      texts(intent, 'key', 'productId') &&
      numbers(intent, 'quantity', 'createdAt') &&
      (intent['orderId'] === undefined || isString(intent['orderId'])) &&
      typeof intent['sheetOpened'] === 'boolean',
  );
}
