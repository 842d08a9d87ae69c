/** Asks for orders whose sheet was opened until they are final: at once, then less often, and again at the next start. */
import type { Order } from '../api/types.js';
import type { Emitter } from '../base/emitter.js';
import { toError } from '../base/errors.js';
import { wait } from '../base/wait.js';
import type { Core } from '../core.js';
import { createIntents, isFinal, type Intent, type Intents } from './intents.js';

/** Delays between questions, in seconds; then `MAX_DELAY_S`. */
const DELAYS_S = [1, 2, 4, 8, 15, 30];
const MAX_DELAY_S = 60;
/** An order that is still pending after this time is left to the next start. */
const LIMIT_MS = 40 * 60 * 1000;
/** Intents older than this are forgotten: the service closed their orders long ago. */
const FORGOTTEN_AFTER_MS = 7 * 24 * 3600 * 1000;

/** @internal */
export interface Watch {
  readonly intents: Intents;
  /** Asks once; reports the order if it is final. */
  question(intent: Intent): Promise<Order>;
  /** Follows an order in the background. */
  follow(intent: Intent): void;
  /** Follows every order that an earlier run left open. */
  resume(): void;
  /** Records the end of an order. */
  settle(intent: Intent, order: Order): Order;
}

/**
 * @param read - Asks the service for an order.
 * @param finals - Hears of each order once, when it is final.
 */
export function createWatch(
  { store, host, app }: Core,
  read: (orderId: string) => Promise<Order>,
  finals: Emitter<Order>,
): Watch {
  const intents = createIntents(store);
  const running = new Set<string>();

  const settle = (intent: Intent, order: Order): Order => {
    if (isFinal(order) && intents.has(intent)) {
      intents.remove(intent);
      finals.emit(order);
    }
    return order;
  };

  const question = async (intent: Intent): Promise<Order> =>
    settle(intent, await read(intent.orderId as string));

  const run = async (intent: Intent): Promise<void> => {
    const end = host.now() + LIMIT_MS;
    for (let count = 0; host.now() < end && intents.has(intent); count++) {
      try {
        if (isFinal(await question(intent))) return;
      } catch (error) {
        const { code } = toError(error);
        if (code === 'ORDER_NOT_FOUND') intents.remove(intent);
        if (code === 'SESSION_REPLACED' || code === 'USER_BANNED') return;
      }
      await wait(host, (DELAYS_S[count] || MAX_DELAY_S) * 1000, undefined, app.returned);
    }
  };

  const follow = (intent: Intent): void => {
    const orderId = intent.orderId as string;
    if (running.has(orderId)) return;
    running.add(orderId);
    const done = (): unknown => running.delete(orderId);
    run(intent).then(done, done);
  };

  return {
    intents,
    question,
    follow,
    resume() {
      for (const intent of intents.all()) {
        if (host.now() - intent.createdAt > FORGOTTEN_AFTER_MS) intents.remove(intent);
        else if (intent.sheetOpened) follow(intent);
      }
    },
    settle,
  };
}
