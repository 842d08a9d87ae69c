/**
 * One purchase, step by step: support, intent, order, sheet, question.
 *
 * | sheet | next |
 * |---|---|
 * | success | ask until paid, or `pending` |
 * | cancelled | ask; still unpaid: cancel the order on phones, `cancelled` |
 * | -15015, -15012 | one sign-in, the same order signed again, one more sheet |
 * | -15003, -15007, unclear | ask for a while, or `pending` |
 * | refused | ask once, `refused` |
 */
import type { Order } from '../api/types.js';
import { createCancel, type CancelToken } from '../base/cancel.js';
import { AvalonError, toError } from '../base/errors.js';
import { defined, isRecord, isString } from '../base/store.js';
import { wait } from '../base/wait.js';
import type { SheetResult } from './codes.js';
import type { Core } from '../core.js';
import { isFinal, type Intent } from './intents.js';
import {
  openSheet,
  readPayParams,
  sessionKeyIsValid,
  supportedChannels,
  type ChannelName,
  type PayParams,
} from './sheet.js';
import type { Watch } from './watch.js';

/** The outcome of `pay`. */
export type PayResult =
  | { readonly status: 'paid'; readonly order: Order }
  | { readonly status: 'cancelled'; readonly orderId: string }
  /** `code` is ours, `wxCode` WeChat's. The platform has shown its own message. */
  | {
      readonly status: 'refused';
      readonly code: RefusalCode;
      readonly wxCode?: number;
      readonly orderId?: string;
    }
  /** Not known yet: `onOrder` hears of the end, in this run of the game or the next. */
  | { readonly status: 'pending'; readonly orderId: string };

export type RefusalCode =
  'PLATFORM_UNSUPPORTED' | 'CHANNEL_UNSUPPORTED' | 'SHEET_REFUSED' | 'ORDER_CLOSED' | 'ORDER_FAILED';

/** @internal */
interface Created {
  readonly orderId: string;
  /** Undefined when nothing is left to pay. */
  readonly payParams: PayParams | undefined;
  /** Whether the service named a channel that this version does not know. */
  readonly unknown: boolean;
}

const WAIT_MS = 15000;
/** A sheet that reports nothing is given up: this long after it opened, … */
const LONGEST_SHEET_MS = 10 * 60 * 1000;
/** … or after the game has come back and this much time has passed. */
const SILENT_SHEET_MS = 60000;
const SILENT_ASK_MS = 3000;
const ASK_MS = [0, 500, 1000, 2000, 3000];

export class Purchase {
  private busy = false;

  constructor(
    private readonly core: Core,
    private readonly watch: Watch,
    private readonly cancelOrder: (orderId: string) => Promise<Order>,
  ) {}

  /** Performs a purchase; `payWith` selects game coins, which need no sheet. */
  async start(productId: string, quantity: number, waitMs = WAIT_MS, payWith?: 'coins'): Promise<PayResult> {
    if (this.busy) throw new AvalonError('PAYMENT_IN_PROGRESS');
    this.busy = true;
    try {
      const { host, device } = this.core;
      const channels = payWith ? [] : await supportedChannels(host, device);
      if (!payWith && channels.length === 0) return { status: 'refused', code: 'PLATFORM_UNSUPPORTED' };
      if (channels.indexOf('virtual_payment') >= 0 && !(await sessionKeyIsValid(host))) {
        // Better now than by a sheet that fails; if it is not possible now, the sheet decides.
        await this.core.session.signInAgain().catch(() => undefined);
      }
      const { intents } = this.watch;
      const unfinished = payWith ? undefined : intents.unfinished(productId, quantity, host.now());
      const intent = unfinished || this.begin(productId, quantity);
      const result = await this.run(intent, waitMs, channels, payWith);
      // The service closed the order of the unfinished purchase meanwhile.
      const closed = unfinished && result.status === 'refused' && result.code === 'ORDER_CLOSED';
      return closed ? await this.run(this.begin(productId, quantity), waitMs, channels, payWith) : result;
    } finally {
      this.busy = false;
    }
  }

  private begin(productId: string, quantity: number): Intent {
    const { host, ids } = this.core;
    const intent: Intent = {
      key: ids.next(),
      productId,
      quantity,
      createdAt: host.now(),
      sheetOpened: false,
    };
    this.watch.intents.put(intent);
    return intent;
  }

  private async run(
    intent: Intent,
    waitMs: number,
    channels: ChannelName[],
    payWith: 'coins' | undefined,
  ): Promise<PayResult> {
    const { watch } = this;
    const { intents } = watch;
    let created: Created;
    try {
      created = await this.create(intent, channels, payWith);
    } catch (error) {
      // While it is not known whether the order exists, its key is kept for the next try.
      const { status, retryable } = toError(error);
      if (status !== 0 && !retryable) intents.remove(intent);
      throw error;
    }
    if (created.unknown) {
      intents.remove(intent);
      this.cancelOrder(created.orderId).catch(() => undefined);
      return { status: 'refused', code: 'CHANNEL_UNSUPPORTED', orderId: created.orderId };
    }
    intent.orderId = created.orderId;
    // Stored before the sheet opens: from then on the order may be paid, whatever happens to the game.
    intent.sheetOpened = true;
    intents.put(intent);
    let sheet: SheetResult = { verdict: 'paid', code: undefined, message: '' };
    if (created.payParams) sheet = await this.show(intent, created.payParams, channels);
    const result = await this.conclude(intent, sheet, waitMs);
    if (result.status === 'pending' || intents.list().indexOf(intent) >= 0) watch.follow(intent);
    return result;
  }

  /** Opens the sheet; after a changed session key once more, for the same order. */
  private async show(intent: Intent, params: PayParams, channels: ChannelName[]): Promise<SheetResult> {
    const first = await this.sheet(intent, params);
    if (first.verdict !== 'sign-again') return first;
    try {
      await this.core.session.signInAgain();
      const again = await this.create(intent, channels, undefined);
      // Without parameters there is nothing left to pay.
      if (!again.payParams || again.orderId !== intent.orderId)
        return Object.assign({}, first, { verdict: 'ask' });
      const second = await this.sheet(intent, again.payParams);
      return second.verdict === 'sign-again' ? Object.assign({}, second, { verdict: 'refused' }) : second;
    } catch {
      return Object.assign({}, first, { verdict: 'ask' });
    }
  }

  private async sheet(intent: Intent, params: PayParams): Promise<SheetResult> {
    const { host, events } = this.core;
    const { token, cancel } = createCancel();
    const result = await Promise.race([openSheet(host, params), this.unanswered(intent, token)]);
    cancel();
    const { code, message, verdict } = result;
    const { channel } = params;
    events.track('$payment', { channel, orderId: intent.orderId, code, message, verdict });
    return result;
  }

  /** A sheet may never report anything. Once the game is back in front, the order is asked for instead. */
  private async unanswered(intent: Intent, token: CancelToken): Promise<SheetResult> {
    const { host, app } = this.core;
    await wait(host, LONGEST_SHEET_MS, token, app.shown);
    const end = host.now() + SILENT_SHEET_MS;
    while (!token.cancelled && host.now() < end) {
      await wait(host, SILENT_ASK_MS, token);
      try {
        if (!token.cancelled && isFinal(await this.watch.ask(intent))) break;
      } catch {
        // The next question may be answered.
      }
    }
    return { verdict: 'ask', code: undefined, message: 'no answer' };
  }

  private async conclude(intent: Intent, { verdict, code }: SheetResult, waitMs: number): Promise<PayResult> {
    const orderId = intent.orderId as string;
    const patient = verdict === 'paid' || verdict === 'ask';
    let order = await this.askUntilFinal(intent, patient ? waitMs : 0);
    if (verdict === 'cancelled' && order && !isFinal(order) && this.sheetIsHere()) {
      order = await this.cancel(intent);
    }
    if (order && isFinal(order)) {
      if (order.status === 'paid') return { status: 'paid', order };
      if (verdict === 'cancelled') return { status: 'cancelled', orderId };
      return refused(order.status === 'failed' ? 'ORDER_FAILED' : 'ORDER_CLOSED', orderId, code);
    }
    if (verdict === 'cancelled') return { status: 'cancelled', orderId };
    if (verdict === 'refused') return refused('SHEET_REFUSED', orderId, code);
    return { status: 'pending', orderId };
  }

  /** On computers the sheet shows a code for the phone: closing it says nothing about the payment. */
  private sheetIsHere(): boolean {
    return ['windows', 'mac'].indexOf(this.core.device.platform) < 0;
  }

  /** Releases stock and limits that an unpaid order holds. */
  private async cancel(intent: Intent): Promise<Order | undefined> {
    try {
      const order = await this.cancelOrder(intent.orderId as string);
      this.watch.settle(intent, order);
      return order;
    } catch {
      return undefined;
    }
  }

  private async askUntilFinal(intent: Intent, waitMs: number): Promise<Order | undefined> {
    const { watch } = this;
    const { host, app } = this.core;
    const end = host.now() + waitMs;
    let order: Order | undefined;
    for (let count = 0; ; count++) {
      const pause = ASK_MS[Math.min(count, ASK_MS.length - 1)] as number;
      if (pause > 0) await wait(host, pause, undefined, app.shown);
      try {
        order = await watch.ask(intent);
        if (isFinal(order)) return order;
      } catch {
        // The next question, or the next start, may be answered.
      }
      if (host.now() + pause >= end) return order;
    }
  }

  private async create(
    intent: Intent,
    channels: ChannelName[],
    payWith: 'coins' | undefined,
  ): Promise<Created> {
    const { http, device } = this.core;
    const { productId, quantity } = intent;
    const { platform, envVersion } = device;
    const channel = channels.length === 1 ? channels[0] : undefined;
    const body = { productId, quantity, platform, envVersion, channel, payWith };
    try {
      const options = { idempotencyKey: intent.key, timeout: 15000 };
      return await http.post('/api/wx/createOrder', body, readCreated, options);
    } catch (thrown) {
      const error = toError(thrown);
      if (error.code === 'ORDER_STATE' && error.orderId !== undefined) {
        return { orderId: error.orderId, payParams: undefined, unknown: false };
      }
      throw error;
    }
  }
}

function refused(code: RefusalCode, orderId: string, wxCode: number | undefined): PayResult {
  return defined({ status: 'refused' as const, code, orderId, wxCode });
}

function readCreated(body: unknown): Created | undefined {
  if (!isRecord(body) || !isString(body['orderId'])) return undefined;
  const payParams = readPayParams(body['payParams']);
  const unknown = body['payParams'] !== undefined && body['payParams'] !== null && !payParams;
  return { orderId: body['orderId'], payParams, unknown };
}
