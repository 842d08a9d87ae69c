// The SDK's view of `wx` follows WeChat's typings, and so does the surface of the stand-in.
import { createClient, type Host, type WxLike } from '@avalon-wx/sdk';
import type { StandInWx } from '@avalon-wx/wx-stand-in';

// `requestPayment` and `aldSendEvent` are not WeChat's for mini-games; the typings say that `signData` is an object.
type Unlisted = 'requestPayment' | 'aldSendEvent' | 'requestMidasPaymentGameItem';

/** Functions of WeChat that accept what the SDK passes. Parameters are compared by the calls below. */
declare const real: WechatMinigame.Wx;

export const like: Pick<
  WxLike,
  'onShow' | 'onHide' | 'getStorageSync' | 'setStorageSync' | 'removeStorageSync'
> = real;

export const host: Host = {
  wx: real as unknown as WxLike,
  global: GameGlobal,
  setTimeout: (callback, delay) => setTimeout(callback, delay),
  clearTimeout: (id) => clearTimeout(id as number),
  now: () => Date.now(),
};

createClient({ baseUrl: 'https://wx.example.com', host });

// Every call that the SDK uses exists under this name.
type Missing = Exclude<keyof WxLike, keyof WechatMinigame.Wx | Unlisted>;
export const missing: Missing[] = [] satisfies never[];
type Check<T extends never> = T;
export type AllCallsExist = Check<Missing>;

// Every call of the stand-in exists, and its functions can be called as WeChat's.
type StandInOnly = Exclude<keyof StandInWx, keyof WechatMinigame.Wx | Unlisted>;
export type StandInIsReal = Check<StandInOnly>;

// Without `onShow`, of which the typings require a `referrerInfo` that some versions of WeChat leave out, and
// `onShareAppMessage`, whose result they have as its parameter.
export const standIn: Pick<
  WechatMinigame.Wx,
  | 'onHide'
  | 'offHide'
  | 'getStorageSync'
  | 'setStorageSync'
  | 'removeStorageSync'
  | 'clearStorageSync'
  | 'shareAppMessage'
  | 'reportEvent'
> = {} as Pick<
  StandInWx,
  | 'onHide'
  | 'offHide'
  | 'getStorageSync'
  | 'setStorageSync'
  | 'removeStorageSync'
  | 'clearStorageSync'
  | 'shareAppMessage'
  | 'reportEvent'
>;

type AlreadyUsed = Parameters<WechatMinigame.Wx['request']>[0];
export const request: AlreadyUsed = {
  url: '',
  method: 'POST',
  header: {},
  data: '',
  dataType: '其他',
  timeout: 1,
};
