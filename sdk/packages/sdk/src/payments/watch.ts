/** Asks for orders whose sheet was opened until they are final: at once, then less often, and again at the next start. */
import type { Order } from '../api/types.js';
import type { Emitter } from '../base/emitter.js';
import { toError } from '../base/errors.js';
import { wait } from '../base/wait.js';
import type { Core } from '../core.js';
import { isFinal, Intents, type Intent } from './intents.js';

/** Delays between questions, in milliseconds; the last one repeats. */
const DELAYS = [1000, 2000, 4000, 8000, 15000, 30000, 60000];
/** An order that is still pending after this time is left to the next start. */
const LIMIT_MS = 40 * 60 * 1000;
/** Intents older than this are forgotten: the service closed their orders long ago. */
export const FORGOTTEN_AFTER_MS = 7 * 24 * 3600 * 1000;

export class Watch {
  readonly intents: Intents;
  private readonly running = new Map<string, Promise<void>>();

  /**
   * @param question - Asks the service for an order.
   * @param finals - Hears of each order once, when it is final.
   */
  constructor(
    private readonly core: Core,
    private readonly question: (orderId: string) => Promise<Order>,
    private readonly finals: Emitter<Order>,
  ) {
    this.intents = new Intents(core.store);
  }

  /** Asks once; reports the order if it is final. */
  async ask(intent: Intent): Promise<Order> {
    const order = await this.question(intent.orderId as string);
    this.settle(intent, order);
    return order;
  }

  /** Follows an order in the background. */
  follow(intent: Intent): void {
    const orderId = intent.orderId as string;
    if (this.running.has(orderId)) return;
    const done = (): void => {
      this.running.delete(orderId);
    };
    const work = this.run(intent);
    this.running.set(orderId, work);
    work.then(done, done);
  }

  /** Follows every order that an earlier run left open. */
  resume(): void {
    const { intents } = this;
    for (const intent of intents.list()) {
      if (this.core.host.now() - intent.createdAt > FORGOTTEN_AFTER_MS) intents.remove(intent);
      else if (intent.sheetOpened) this.follow(intent);
    }
  }

  /** Records the end of an order. */
  settle(intent: Intent, order: Order): void {
    if (!isFinal(order) || this.intents.list().indexOf(intent) < 0) return;
    this.intents.remove(intent);
    this.finals.emit(order);
  }

  private async run(intent: Intent): Promise<void> {
    const { intents } = this;
    const { host, app } = this.core;
    const end = host.now() + LIMIT_MS;
    for (let count = 0; host.now() < end && intents.list().indexOf(intent) >= 0; count++) {
      try {
        if (isFinal(await this.ask(intent))) return;
      } catch (error) {
        const { code } = toError(error);
        if (code === 'ORDER_NOT_FOUND') intents.remove(intent);
        if (code === 'SESSION_REPLACED' || code === 'USER_BANNED') return;
      }
      await wait(host, DELAYS[Math.min(count, DELAYS.length - 1)] as number, undefined, app.shown);
    }
  }
}
