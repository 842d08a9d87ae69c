/**
 * Purchases that have begun, in storage: the key of the order, so that one intent never has two orders, and whether a
 * sheet was opened, so that the next start knows which orders to ask for. An intent without a sheet cannot have been
 * paid: the next purchase of the same product continues it, later it is forgotten. One with a sheet stays until its
 * order is final.
 */
import { listOf } from '../api/read.js';
import type { Order } from '../api/types.js';
import type { Store } from '../base/store.js';
import { isString } from '../base/values.js';

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

/** @internal */
export interface Intents {
  /** Returns a purchase of the same product whose sheet was never opened. */
  unfinished(productId: string, quantity: number, now: number): Intent | undefined;
  all(): Intent[];
  has(intent: Intent): boolean;
  /** Stores a new or changed intent. */
  put(intent: Intent): void;
  remove(intent: Intent): void;
}

const KEY = 'intents';
const MAX_INTENTS = 50;
/** How long a purchase without a sheet may be continued. The service closes scarce orders after five minutes. */
const CONTINUE_MS = 5 * 60 * 1000;

export function createIntents(store: Store): Intents {
  let intents = (store.read(KEY, isIntents) || []).filter((intent) => !intent.sheetOpened || intent.orderId);
  const change = (changed: Intent[]): void => {
    intents = changed;
    store.write(KEY, intents);
  };
  const has = (intent: Intent): boolean => intents.indexOf(intent) >= 0;
  return {
    unfinished(productId, quantity, now) {
      intents = intents.filter(
        ({ sheetOpened, createdAt }) => sheetOpened || (now >= createdAt && now - createdAt < CONTINUE_MS),
      );
      return intents.filter(
        (intent) => !intent.sheetOpened && intent.productId === productId && intent.quantity === quantity,
      )[0];
    },
    all: () => intents,
    has,
    put: (intent) => change((has(intent) ? intents : intents.concat(intent)).slice(-MAX_INTENTS)),
    remove: (intent) => change(intents.filter((known) => known !== intent)),
  };
}

/** Whether the state of an order changes no more, as far as a purchase is concerned. */
export function isFinal({ status }: Order): boolean {
  return status !== 'pending';
}

function isIntents(value: unknown): value is Intent[] {
  return (
    listOf<Intent>(value, 'key productId #quantity #createdAt') &&
    value.every(
      ({ orderId, sheetOpened }) =>
        (orderId === undefined || isString(orderId)) && typeof sheetOpened === 'boolean',
    )
  );
}
