/** Opens WeChat's payment sheet for an order, through the channel that the service named. */
import { fits } from '../api/read.js';
import { ask } from '../base/ask.js';
import type { Host } from '../base/host.js';
import { ignore, isFunction, isRecord } from '../base/values.js';
import type { WxPayment } from '../base/wx.js';
import { isAtLeast, type Device } from '../device.js';
import { judge, type SheetResult } from './codes.js';

/** Parameters of a sheet, as the service returned them. They are passed on unchanged. */
export interface PayParams {
  readonly channel: ChannelName;
  /** Of virtual payment: `signData`, JSON text that is signed byte for byte, and its signatures. */
  readonly parameters: { readonly [name: string]: unknown };
}

export type ChannelName = 'wechat_pay' | 'virtual_payment';

/** iPhones pay for virtual goods from these versions on. */
const IOS_BASE_LIBRARY = '3.10.3';
const IOS_SYSTEM = '15';
const ANSWER_MS = 3000;

/** Reads `payParams` of an order. A channel that this version does not know is undefined. */
export function readPayParams(value: unknown): PayParams | undefined {
  if (!isRecord(value)) return undefined;
  const { channel = 'wechat_pay' } = value;
  const parameters: { [name: string]: unknown } = { ...value };
  delete parameters['channel'];
  if (channel === 'wechat_pay' && fits(parameters, 'package')) return { channel, parameters };
  if (channel !== 'virtual_payment' || !fits(parameters, 'signData paySig signature')) return undefined;
  const { signData, paySig, signature } = parameters;
  return { channel, parameters: { signData, paySig, signature } };
}

/** Returns the channels through which this phone can pay. */
export async function supportedChannels(host: Host, device: Device): Promise<ChannelName[]> {
  const channels: ChannelName[] = [];
  const { wx } = host;
  if (isFunction(wx.requestMidasPaymentGameItem) && (await midasAllowed(host, device)))
    channels.push('virtual_payment');
  if (isFunction(wx.requestPayment)) channels.push('wechat_pay');
  return channels;
}

async function midasAllowed(host: Host, { platform, system, baseLibrary }: Device): Promise<boolean> {
  const other = platform !== 'ios';
  const { wx } = host;
  const known =
    other || (isAtLeast(baseLibrary, IOS_BASE_LIBRARY) && isAtLeast(system.replace(/^\D+/, ''), IOS_SYSTEM));
  if (!known || !isFunction(wx.checkIsSupportMidasPayment)) return known && other;
  // When the question fails, the sheet itself gives the answer.
  return ask(
    host,
    ANSWER_MS,
    (resolve) =>
      (wx.checkIsSupportMidasPayment as NonNullable<typeof wx.checkIsSupportMidasPayment>)({
        success: ({ data }) => resolve(!isRecord(data) || data['allow_pay'] !== false),
        fail: () => resolve(other),
      }),
    () => other,
  );
}

/** Asks WeChat whether the session key that the service signs with is still the player's. */
export async function sessionKeyIsValid(host: Host): Promise<boolean> {
  const { wx } = host;
  return (
    !isFunction(wx.checkSession) ||
    ask<boolean>(
      host,
      ANSWER_MS,
      (resolve) =>
        (wx.checkSession as NonNullable<typeof wx.checkSession>)({
          success: () => resolve(true),
          fail: () => resolve(false),
        }),
      () => true,
    )
  );
}

/** Opens the sheet; resolves with what it reported, which proves nothing. */
export function openSheet({ wx }: Host, { channel, parameters }: PayParams): Promise<SheetResult> {
  return new Promise((resolve) => {
    try {
      const open = wx[channel === 'wechat_pay' ? 'requestPayment' : 'requestMidasPaymentGameItem'] as
        ((options: WxPayment) => unknown) | undefined;
      if (!open) return resolve({ verdict: 'refused', code: undefined, message: `no sheet for ${channel}` });
      ignore(
        open.call(wx, {
          ...parameters,
          success: () => resolve({ verdict: 'paid', code: 0, message: 'ok' }),
          fail: ({ errCode, errMsg }) =>
            resolve(judge(errCode === undefined ? undefined : Number(errCode), String(errMsg))),
        }),
      );
    } catch (error) {
      resolve(judge(undefined, String(error)));
    }
  });
}
