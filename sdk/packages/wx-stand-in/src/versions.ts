/** Base library versions: which calls exist from which version on. */

/** The first base library of each call that did not always exist. */
export const SINCE: { readonly [call: string]: string } = {
  showShareMenu: '1.1.0',
  onNetworkStatusChange: '1.1.0',
  offNetworkStatusChange: '1.9.3',
  updateShareMenu: '1.2.0',
  getSetting: '1.2.0',
  setUserCloudStorage: '1.9.92',
  removeUserCloudStorage: '1.9.92',
  getFriendCloudStorage: '1.9.92',
  getGroupCloudStorage: '1.9.92',
  getUserCloudStorage: '1.9.92',
  getOpenDataContext: '1.9.92',
  getSharedCanvas: '1.9.92',
  requestSubscribeMessage: '2.4.4',
  onUnhandledRejection: '2.10.0',
  getGroupEnterInfo: '2.10.4',
  getAccountInfoSync: '2.11.2',
  onShareTimeline: '2.11.3',
  getEnterOptionsSync: '2.13.2',
  reportEvent: '2.14.4',
  getUserCryptoManager: '2.17.3',
  requestMidasPayment: '2.19.2',
  requestMidasPaymentGameItem: '2.19.2',
  getDeviceInfo: '2.25.3',
  getWindowInfo: '2.25.3',
  getAppBaseInfo: '2.25.3',
  getPrivacySetting: '2.32.3',
  onNeedPrivacyAuthorization: '2.32.3',
  requirePrivacyAuthorize: '2.32.3',
  checkIsSupportMidasPayment: '3.10.3',
};

/** The base library from which failures carry `errno`. */
export const ERRNO_SINCE = '2.24.0';

/** Compares two dotted versions: negative when `a` is older. */
export function compareVersions(a: string, b: string): number {
  const left = a.split('.').map(Number);
  const right = b.split('.').map(Number);
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = (left[index] || 0) - (right[index] || 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Returns the calls of `wx` that the given base library has. */
export function withoutNewerCalls<T extends object>(wx: T, baseLibrary: string): T {
  const result = {} as T;
  for (const name of Object.keys(wx) as (keyof T & string)[]) {
    const since = SINCE[name];
    if (since === undefined || compareVersions(baseLibrary, since) >= 0) result[name] = wx[name];
  }
  return result;
}
