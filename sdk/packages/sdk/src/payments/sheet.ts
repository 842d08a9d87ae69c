/** Opens WeChat's payment sheet for an order, through the channel that the service named. */
import { isFunction, isRecord, isString } from '../base/store.js';
import type { Host } from '../base/host.js';
import type { WxCallbacks } from '../base/wx.js';
import { compareVersions, type Device } from '../device.js';
import { judge, type SheetResult } from './codes.js';

/** Parameters of a sheet, as the service returned them. They are passed on unchanged. */
export type PayParams =
  | { readonly channel: 'wechat_pay'; readonly parameters: { readonly [name: string]: unknown } }
  | {
      readonly channel: 'virtual_payment';
      /** JSON text; signed byte for byte. */
      readonly signData: string;
      readonly paySig: string;
      readonly signature: string;
    };

export type ChannelName = PayParams['channel'];

/** iPhones pay for virtual goods from these versions on. */
const IOS_BASE_LIBRARY = '3.10.3';
const IOS_SYSTEM = '15';
const ANSWER_MS = 3000;

/** Reads `payParams` of an order. A channel that this version does not know is undefined. */
export function readPayParams(value: unknown): PayParams | undefined {
  if (!isRecord(value)) return undefined;
  const { channel, ...parameters } = value;
  if (channel === undefined || channel === 'wechat_pay') {
    return isString(parameters['package']) ? { channel: 'wechat_pay', parameters } : undefined;
  }
  const { signData, paySig, signature } = parameters;
  const known =
    channel === 'virtual_payment' && isString(signData) && isString(paySig) && isString(signature);
  return known ? { channel, signData, paySig, signature } : undefined;
}

/** Returns the channels through which this phone can pay. */
export async function supportedChannels(host: Host, device: Device): Promise<ChannelName[]> {
  const channels: ChannelName[] = [];
  const { wx } = host;
  if (isFunction(wx.requestMidasPaymentGameItem) && (await midasAllowed(host, device))) {
    channels.push('virtual_payment');
  }
  if (isFunction(wx.requestPayment)) channels.push('wechat_pay');
  return channels;
}

function midasAllowed(host: Host, { platform, system, baseLibrary }: Device): Promise<boolean> {
  const ios = platform === 'ios';
  if (ios) {
    const version = system.replace(/^\D+/, '');
    if (compareVersions(baseLibrary, IOS_BASE_LIBRARY) < 0 || !(compareVersions(version, IOS_SYSTEM) >= 0)) {
      return Promise.resolve(false);
    }
  }
  const check = host.wx.checkIsSupportMidasPayment;
  if (!isFunction(check)) return Promise.resolve(!ios);
  // When the question fails, the sheet itself gives the answer.
  return answer(host, !ios, (resolve) =>
    check.call(host.wx, {
      success: ({ data }) => resolve(!isRecord(data) || data['allow_pay'] !== false),
      fail: () => resolve(!ios),
    }),
  );
}

/** Asks WeChat whether the session key that the service signs with is still the player's. */
export function sessionKeyIsValid(host: Host): Promise<boolean> {
  const { wx } = host;
  return answer(host, true, (resolve) => {
    if (!isFunction(wx.checkSession)) return resolve(true);
    ignoreRejection(wx.checkSession({ success: () => resolve(true), fail: () => resolve(false) }));
  });
}

/** Asks a question that WeChat may leave unanswered, or answer by an exception. */
function answer(
  host: Host,
  otherwise: boolean,
  ask: (resolve: (value: boolean) => void) => void,
): Promise<boolean> {
  return new Promise((resolve) => {
    host.setTimeout(() => resolve(otherwise), ANSWER_MS);
    try {
      ask(resolve);
    } catch {
      resolve(otherwise);
    }
  });
}

/** Opens the sheet; resolves with what it reported, which proves nothing. */
export function openSheet(host: Host, params: PayParams): Promise<SheetResult> {
  return new Promise((resolve) => {
    const callbacks: WxCallbacks<unknown> = {
      success: () => resolve({ verdict: 'paid', code: 0, message: 'ok' }),
      fail: (failure) => {
        const code = failure.errCode === undefined ? undefined : Number(failure.errCode);
        resolve(judge(code, String(failure.errMsg)));
      },
    };
    try {
      const { wx } = host;
      if (params.channel === 'wechat_pay' && wx.requestPayment) {
        ignoreRejection(wx.requestPayment({ ...params.parameters, ...callbacks }));
      } else if (params.channel === 'virtual_payment' && wx.requestMidasPaymentGameItem) {
        const { signData, paySig, signature } = params;
        wx.requestMidasPaymentGameItem({ signData, paySig, signature, ...callbacks });
      } else {
        resolve({ verdict: 'refused', code: undefined, message: `no sheet for ${params.channel}` });
      }
    } catch (error) {
      resolve(judge(undefined, String(error)));
    }
  });
}

function ignoreRejection(value: unknown): void {
  if (isRecord(value) && isFunction(value['catch']))
    (value as unknown as Promise<unknown>).catch(() => undefined);
}
