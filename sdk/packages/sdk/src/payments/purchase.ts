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
import { fits } from '../api/read.js';
import type { Order } from '../api/types.js';
import { createCancel, type CancelToken } from '../base/cancel.js';
import { AvalonError, toError } from '../base/errors.js';
import { defined, ignore, nothing } from '../base/values.js';
import { wait } from '../base/wait.js';
import type { Core } from '../core.js';
import type { SheetResult } from './codes.js';
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

/** Performs a purchase; `payWith` selects game coins, which need no sheet. */
type Purchase = (
  productId: string,
  quantity: number,
  waitMs: number | undefined,
  payWith: 'coins' | undefined,
) => Promise<PayResult>;

export function createPurchase(
  core: Core,
  { intents, question, follow, settle }: Watch,
  cancelOrder: (orderId: string) => Promise<Order>,
): Purchase {
  const { host, device, session, ids, http, app } = core;
  let busy = false;

  const create = async (intent: Intent, channels: ChannelName[], payWith?: 'coins'): Promise<Created> => {
    const { productId, quantity, key } = intent;
    const { platform, envVersion } = device;
    const channel = channels.length === 1 ? channels[0] : undefined;
    const body = { productId, quantity, platform, envVersion, channel, payWith };
    try {
      return await http.submit('createOrder', body, readCreated, { idempotencyKey: key, timeout: 15000 });
    } catch (thrown) {
      const { code, orderId } = toError(thrown);
      if (code !== 'ORDER_STATE' || orderId === undefined) throw thrown;
      return { orderId, payParams: undefined, unknown: false };
    }
  };

  /** A sheet may never report anything. Once the game is back in front, the order is asked for instead. */
  const unanswered = async (intent: Intent, token: CancelToken): Promise<SheetResult> => {
    await wait(host, LONGEST_SHEET_MS, token, app.returned);
    for (const end = host.now() + SILENT_SHEET_MS; !token.cancelled && host.now() < end;) {
      await wait(host, SILENT_ASK_MS, token);
      if (token.cancelled || (await isSettled(intent))) break;
    }
    return { verdict: 'ask', code: undefined, message: 'no answer' };
  };

  const isSettled = async (intent: Intent): Promise<boolean> => {
    // The next question may be answered.
    const order = await question(intent).catch(nothing);
    return !!order && isFinal(order);
  };

  const openOnce = async (intent: Intent, params: PayParams): Promise<SheetResult> => {
    const { token, cancel } = createCancel();
    const result = await Promise.race([openSheet(host, params), unanswered(intent, token)]);
    cancel();
    core.record('$payment', { channel: params.channel, orderId: intent.orderId, ...result });
    return result;
  };

  /** Opens the sheet; after a changed session key once more, for the same order. */
  const open = async (intent: Intent, params: PayParams, channels: ChannelName[]): Promise<SheetResult> => {
    const first = await openOnce(intent, params);
    if (first.verdict !== 'sign-again') return first;
    try {
      await session.signInAgain();
      const { payParams, orderId } = await create(intent, channels);
      // Without parameters there is nothing left to pay.
      if (payParams && orderId === intent.orderId) {
        const second = await openOnce(intent, payParams);
        return second.verdict === 'sign-again' ? { ...second, verdict: 'refused' } : second;
      }
    } catch {
      // The order decides.
    }
    return { ...first, verdict: 'ask' };
  };

  const askUntilFinal = async (intent: Intent, waitMs: number): Promise<Order | undefined> => {
    const end = host.now() + waitMs;
    let order: Order | undefined;
    for (let count = 0; ; count++) {
      const pause = ASK_MS[Math.min(count, ASK_MS.length - 1)] as number;
      if (pause) await wait(host, pause, undefined, app.returned);
      // The next question, or the next start, may be answered.
      order = (await question(intent).catch(nothing)) || order;
      if ((order && isFinal(order)) || host.now() + pause >= end) return order;
    }
  };

  const conclude = async (
    intent: Intent,
    { verdict, code }: SheetResult,
    waitMs: number,
  ): Promise<PayResult> => {
    const orderId = intent.orderId as string;
    const isCancelled = verdict === 'cancelled';
    let order = await askUntilFinal(intent, verdict === 'paid' || verdict === 'ask' ? waitMs : 0);
    // On computers the sheet shows a code for the phone: closing it says nothing about the payment.
    if (isCancelled && order && !isFinal(order) && !/^(windows|mac)$/.test(device.platform)) {
      // Releases stock and limits that an unpaid order holds.
      order = await cancelOrder(orderId).then((cancelled) => settle(intent, cancelled), nothing);
    }
    const final = order && isFinal(order) && order.status;
    if (order && final === 'paid') return { status: 'paid', order };
    if (isCancelled) return { status: 'cancelled', orderId };
    if (final || verdict === 'refused') {
      const reason: RefusalCode = !final
        ? 'SHEET_REFUSED'
        : final === 'failed'
          ? 'ORDER_FAILED'
          : 'ORDER_CLOSED';
      return defined({ status: 'refused' as const, code: reason, orderId, wxCode: code });
    }
    return { status: 'pending', orderId };
  };

  const run = async (
    intent: Intent,
    waitMs: number,
    channels: ChannelName[],
    payWith: 'coins' | undefined,
  ): Promise<PayResult> => {
    let created: Created;
    try {
      created = await create(intent, channels, payWith);
    } catch (error) {
      // While it is not known whether the order exists, its key is kept for the next try.
      const { status, retryable } = toError(error);
      if (status && !retryable) intents.remove(intent);
      throw error;
    }
    const { orderId, payParams, unknown } = created;
    if (unknown) {
      intents.remove(intent);
      ignore(cancelOrder(orderId));
      return { status: 'refused', code: 'CHANNEL_UNSUPPORTED', orderId };
    }
    // Stored before the sheet opens: from then on the order may be paid, whatever happens to the game.
    intents.put(Object.assign(intent, { orderId, sheetOpened: true }));
    const sheet: SheetResult = payParams
      ? await open(intent, payParams, channels)
      : { verdict: 'paid', code: undefined, message: '' };
    const result = await conclude(intent, sheet, waitMs);
    if (result.status === 'pending' || intents.has(intent)) follow(intent);
    return result;
  };

  const perform: Purchase = async (productId, quantity, waitMs = WAIT_MS, payWith) => {
    const channels = payWith ? [] : await supportedChannels(host, device);
    if (!payWith && !channels.length) return { status: 'refused', code: 'PLATFORM_UNSUPPORTED' };
    if (channels.indexOf('virtual_payment') >= 0 && !(await sessionKeyIsValid(host))) {
      // Better now than by a sheet that fails; if it is not possible now, the sheet decides.
      await session.signInAgain().catch(nothing);
    }
    const attemptWith = (known?: Intent): Promise<PayResult> => {
      const fresh = { key: ids(), productId, quantity, createdAt: host.now(), sheetOpened: false };
      if (!known) intents.put(fresh);
      return run(known || fresh, waitMs, channels, payWith);
    };
    const unfinished = payWith ? undefined : intents.unfinished(productId, quantity, host.now());
    const result = await attemptWith(unfinished);
    // The service closed the order of the unfinished purchase meanwhile.
    return unfinished && result.status === 'refused' && result.code === 'ORDER_CLOSED'
      ? attemptWith()
      : result;
  };

  return async (...values) => {
    if (busy) throw new AvalonError('PAYMENT_IN_PROGRESS');
    busy = true;
    try {
      return await perform(...values);
    } finally {
      busy = false;
    }
  };
}

function readCreated(body: unknown): Created | undefined {
  if (!fits(body, 'orderId')) return undefined;
  const { orderId, payParams: given } = body;
  const payParams = readPayParams(given);
  return {
    orderId: orderId as string,
    payParams,
    unknown: given !== undefined && given !== null && !payParams,
  };
}
