/**
 * Payment sheets: `wx.requestPayment` and the Midas calls. One sheet at a time. Parameters are checked as strictly as
 * WeChat does; then the player answers, and the platform takes the payment.
 */
import { failure } from './callbacks.js';
import type { PhoneSettings } from './phone.js';
import type { PaymentDevice, PaymentRequest, Platform } from './platform.js';
import { compareVersions } from './versions.js';

/** The answer of the player, or of WeChat, to a sheet: pay, or fail with a code. */
export type SheetAnswer =
  | 'pay'
  /** Pays, and reports the code nevertheless, as a sheet on Windows does while the phone pays. */
  | { readonly code: number; readonly paid?: boolean };

/** Base library, iOS and client from which iPhones can pay for virtual goods. */
const IOS_BASE_LIBRARY = '3.10.3';
const IOS_SYSTEM = '15';
const IOS_CLIENT = '8.0.68';

/** Price tiers of currency purchases, in fen. */
const TIERS = [
  1, 3, 6, 8, 12, 18, 25, 30, 40, 45, 50, 60, 68, 73, 78, 88, 98, 108, 118, 128, 148, 168, 188, 198, 328, 648,
  998, 1998, 2998,
].map((yuan) => yuan * 100);

/** The payment functions of one phone. */
export class Payments {
  /** Answers each sheet. */
  answer: (payment: PaymentRequest) => SheetAnswer | Promise<SheetAnswer> = () => 'pay';
  /** Every sheet that was opened. */
  readonly sheets: PaymentRequest[] = [];
  private open = false;

  constructor(
    private readonly phone: PhoneSettings,
    private readonly platform: Platform,
  ) {}

  /** Closes the sheet of a game that ended. */
  reset(): void {
    this.open = false;
  }

  /** `wx.checkIsSupportMidasPayment`. */
  support(): { allow_pay: boolean; err_code: number; err_msg: string } {
    const allowed = this.phone.platform !== 'ios' || this.iosCanPay();
    return allowed
      ? { allow_pay: true, err_code: 0, err_msg: 'ok' }
      : { allow_pay: false, err_code: 701001, err_msg: 'iOS payment is not allowed' };
  }

  async midas(
    api: PaymentRequest['api'],
    openid: string,
    parameters: { [name: string]: unknown },
  ): Promise<{ errMsg: string }> {
    const data = api === 'requestMidasPaymentGameItem' ? this.signData(api, parameters) : parameters;
    this.check(api, data);
    return this.sheet({ api, openid, device: this.device(), parameters });
  }

  async requestPayment(openid: string, parameters: { [name: string]: unknown }): Promise<{ errMsg: string }> {
    for (const name of ['timeStamp', 'nonceStr', 'package', 'paySign']) {
      if (typeof parameters[name] !== 'string')
        throw failure('requestPayment', `parameter error: ${name} should be String`);
    }
    return this.sheet({ api: 'requestPayment', openid, device: this.device(), parameters });
  }

  private signData(api: string, parameters: { [name: string]: unknown }): { [name: string]: unknown } {
    const text = parameters['signData'];
    if (typeof text !== 'string') throw failure(api, 'signData should be a string', { errCode: -15011 });
    for (const name of ['paySig', 'signature']) {
      if (typeof parameters[name] !== 'string' || parameters[name] === '') {
        throw failure(api, `${name} is missing`, { errCode: -15001 });
      }
    }
    try {
      return JSON.parse(text) as { [name: string]: unknown };
    } catch {
      throw failure(api, 'signData is not JSON', { errCode: -15002 });
    }
  }

  private check(api: string, data: { [name: string]: unknown }): void {
    const missing = ['mode', 'offerId', 'currencyType', 'buyQuantity', 'outTradeNo'].filter(
      (name) => data[name] === undefined,
    );
    if (missing.length > 0) throw failure(api, `${missing.join()} missing`, { errCode: -15001 });
    if (data['zoneId'] === undefined) throw failure(api, 'zoneId missing', { errCode: 1000 });
    const name = String(data['outTradeNo']);
    if (!/^[0-9A-Za-z\-|*@][0-9A-Za-z_\-|*@]{0,31}$/.test(name))
      throw failure(api, 'outTradeNo', { errCode: -15002 });
    if (data['env'] === 1 && this.phone.envVersion === 'release')
      throw failure(api, 'sandbox', { errCode: -15010 });
    if (this.phone.platform === 'ios' && (!this.iosCanPay() || data['env'] === 1)) {
      throw failure(api, 'iOS payment is not allowed', { errCode: 701001 });
    }
    if (
      api === 'requestMidasPaymentGameItem' &&
      data['mode'] === 'goods' &&
      data['productId'] === undefined
    ) {
      throw failure(api, 'productId missing', { errCode: -15001 });
    }
    if (data['mode'] === 'coins') {
      const total = Number(data['buyQuantity']) * Number(data['goodsPrice']);
      if (TIERS.indexOf(total) < 0) throw failure(api, 'price is not a tier', { errCode: -15002 });
    }
  }

  private async sheet(payment: PaymentRequest): Promise<{ errMsg: string }> {
    if (this.open) throw failure(payment.api, 'a payment is already open', { errCode: 2 });
    this.open = true;
    this.sheets.push(payment);
    try {
      const answer = await this.answer(payment);
      if (answer === 'pay' || answer.paid) await this.platform.pay(payment);
      if (answer !== 'pay') throw sheetFailure(payment.api, answer.code);
      return { errMsg: `${payment.api}:ok` };
    } finally {
      this.open = false;
    }
  }

  private device(): PaymentDevice {
    const { platform, system, clientVersion, baseLibrary, envVersion } = this.phone;
    return { platform, system: system.replace(/^\D+/, ''), clientVersion, baseLibrary, envVersion };
  }

  private iosCanPay(): boolean {
    const { baseLibrary, system, clientVersion } = this.phone;
    const ios = system.replace(/^\D+/, '');
    return (
      compareVersions(baseLibrary, IOS_BASE_LIBRARY) >= 0 &&
      compareVersions(ios, IOS_SYSTEM) >= 0 &&
      compareVersions(clientVersion, IOS_CLIENT) >= 0
    );
  }
}

/** A cancelled WeChat Pay sheet says `fail cancel` and has no code. */
function sheetFailure(api: string, code: number): Error {
  if (api === 'requestPayment') return failure(api, code === -2 || code === 1 ? 'cancel' : `code ${code}`);
  return failure(api, code === -2 || code === 1 || code === 7 ? 'cancel' : `code ${code}`, { errCode: code });
}
