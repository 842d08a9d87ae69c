/**
 * The part of WeChat's `wx` that the SDK uses, so that its declarations compile with and without WeChat's typings.
 * Calls that an old base library lacks are optional.
 */

/** What a failed call of `wx` reports. */
export interface WxFailure {
  errMsg: string;
  errCode?: number;
  errno?: number;
}

export interface WxCallbacks<R> {
  success?: (result: R) => void;
  fail?: (failure: WxFailure) => void;
}

export interface WxResponse {
  data: unknown;
  statusCode: number;
  header: { readonly [name: string]: unknown };
}

export interface WxEntry {
  scene: number;
  query?: { readonly [key: string]: string | undefined };
  shareTicket?: string | undefined;
}

export interface WxShareContent {
  title?: string;
  imageUrl?: string;
  imageUrlId?: string;
  query?: string;
}

export interface WxOpenDataContext {
  canvas: { width: number; height: number; style?: unknown };
  postMessage(message: { [name: string]: unknown }): void;
}

/** Parameters of a payment sheet. */
export type WxPayment = WxCallbacks<unknown> & { [name: string]: unknown };

/** The functions of `wx` that the SDK calls. */
export interface WxLike {
  request(
    options: WxCallbacks<WxResponse> & {
      url: string;
      method: string;
      header: { [name: string]: string };
      data?: string;
      dataType: string;
      timeout: number;
    },
  ): { abort(): void } | undefined;
  login(options: WxCallbacks<{ code: string }> & { timeout?: number }): unknown;
  checkSession?(options: WxCallbacks<unknown>): unknown;
  getStorageSync(key: string): unknown;
  setStorageSync(key: string, data: unknown): void;
  removeStorageSync(key: string): void;
  getStorageInfoSync(): { keys: string[] };
  onShow(listener: (entry: WxEntry) => void): void;
  onHide(listener: () => void): void;
  onError?(listener: (error: { message: string }) => void): void;
  onUnhandledRejection?(listener: (event: { reason: unknown }) => void): void;
  getLaunchOptionsSync(): WxEntry;
  getEnterOptionsSync?(): WxEntry;
  onNetworkStatusChange?(listener: (status: { isConnected: boolean; networkType: string }) => void): void;
  getSystemInfoSync?(): object;
  getDeviceInfo?(): object;
  getAppBaseInfo?(): object;
  getWindowInfo?(): object;
  getAccountInfoSync?(): { miniProgram?: { envVersion?: string; version?: string } };
  getUserCryptoManager?(): {
    getRandomValues(options: WxCallbacks<{ randomValues: ArrayBuffer }> & { length: number }): void;
  };
  reportEvent?(eventId: string, data: object): void;
  aldSendEvent?(name: string, parameters: object): void;
  requestPayment?(options: WxPayment): unknown;
  requestMidasPayment?(options: WxPayment): unknown;
  requestMidasPaymentGameItem?(options: WxPayment): void;
  checkIsSupportMidasPayment?(options: WxCallbacks<{ data?: { allow_pay?: unknown } }>): void;
  showShareMenu?(options: { withShareTicket?: boolean; menus?: string[] }): unknown;
  shareAppMessage(content: WxShareContent): void;
  onShareAppMessage(listener: () => WxShareContent & { promise?: Promise<WxShareContent> }): void;
  getGroupEnterInfo?(options: WxCallbacks<{ encryptedData?: string; iv?: string }>): void;
  getShareInfo?(
    options: WxCallbacks<{ encryptedData?: string; iv?: string }> & { shareTicket: string },
  ): unknown;
  requestSubscribeMessage?(options: WxCallbacks<object> & { tmplIds: string[] }): unknown;
  getOpenDataContext?(options?: { sharedCanvasMode?: string }): WxOpenDataContext;
  createUserInfoButton?(options: {
    type: 'text' | 'image';
    style: { left: number; top: number; width: number; height: number };
    text?: string;
    image?: string;
    withCredentials: boolean;
    lang: string;
  }): WxUserInfoButton;
  onNeedPrivacyAuthorization?(listener: PrivacyListener): void;
}

/** The result of a tap on a `UserInfoButton`. */
export interface WxProfile {
  errMsg?: string;
  encryptedData?: string;
  iv?: string;
  rawData?: string;
  signature?: string;
}

export interface WxUserInfoButton {
  show(): void;
  hide(): void;
  destroy(): void;
  onTap(listener: (result: WxProfile) => void): void;
}

/** The player's answer to the privacy policy. */
export interface PrivacyAnswer {
  event: 'exposureAuthorization' | 'agree' | 'disagree';
  buttonId?: string;
}

/** Shows the game's dialogue, and calls `resolve` with the answer: WeChat waits for it. */
export type PrivacyListener = (resolve: (answer: PrivacyAnswer) => void, event: { referrer: string }) => void;
