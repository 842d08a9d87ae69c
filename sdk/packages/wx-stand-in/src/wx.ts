/** Composes `wx` of one running game from its parts. Calls that the base library lacks are absent. */
import { callback, failure, promised, withoutErrno, type Callbacks } from './callbacks.js';
import type { PrivacyListener } from './consent.js';
import { accountInfo, appBaseInfo, deviceInfo, systemInfo, windowInfo } from './device.js';
import type { Game } from './game.js';
import type { Entry, HideResult } from './lifecycle.js';
import type { NetworkStatus } from './network.js';
import { createUserInfoButton, readProfile } from './profile.js';
import type { RequestOptions } from './requests.js';
import type { MenuListener, ShareContent } from './share.js';
import { sizeOf } from './storage.js';
import { compareVersions, ERRNO_SINCE, withoutNewerCalls } from './versions.js';

/** The `wx` of the stand-in. */
export type StandInWx = ReturnType<typeof allCalls>;

type Parameters_ = Callbacks<object> & { [name: string]: unknown };

export function createWx(game: Game): StandInWx {
  const { baseLibrary, requestPayment } = game.phone.settings;
  const wx = withoutNewerCalls(allCalls(game), baseLibrary);
  if (!requestPayment) delete (wx as Partial<StandInWx>).requestPayment;
  return compareVersions(baseLibrary, ERRNO_SINCE) < 0 ? withoutErrno(wx) : wx;
}

function allCalls(game: Game) {
  return {
    ...systemCalls(game),
    ...storageCalls(game),
    ...accountCalls(game),
    ...paymentCalls(game),
    ...socialCalls(game),
  };
}

function systemCalls({ life, requests, phone, errors, rejections }: Game) {
  const network = new Map<(status: NetworkStatus) => void, () => void>();
  life.onKill(() => network.forEach((stop) => stop()));
  return {
    request: (options: RequestOptions) => requests.request(options),
    onShow: (listener: (entry: Entry) => void) => life.onShow(listener),
    offShow: (listener?: (entry: Entry) => void) => life.offShow(listener),
    onHide: (listener: (result: HideResult) => void) => life.onHide(listener),
    offHide: (listener?: (result: HideResult) => void) => life.offHide(listener),
    onError: (listener: (error: { message: string }) => void) => void errors.add(listener),
    offError: (listener?: (error: { message: string }) => void) =>
      void (listener ? errors.delete(listener) : errors.clear()),
    onUnhandledRejection: (listener: (event: { reason: unknown }) => void) => void rejections.add(listener),
    getLaunchOptionsSync: () => life.launch,
    getEnterOptionsSync: () => Object.assign({ apiCategory: 'default' }, life.entry),
    getSystemInfoSync: () => systemInfo(phone.settings),
    getDeviceInfo: () => deviceInfo(phone.settings),
    getWindowInfo: () => windowInfo(phone.settings),
    getAppBaseInfo: () => appBaseInfo(phone.settings),
    getAccountInfoSync: () => accountInfo(phone.settings),
    getNetworkType: (options?: Callbacks<{ networkType: string }>) =>
      promised(
        deliver(life),
        'getNetworkType',
        options,
        Promise.resolve({ networkType: phone.network.type }),
      ),
    onNetworkStatusChange: (listener: (status: NetworkStatus) => void) =>
      void network.set(
        listener,
        phone.network.onChange((status) => life.deliver(() => listener(status))),
      ),
    offNetworkStatusChange: (listener?: (status: NetworkStatus) => void) =>
      network.forEach((stop, known) => (listener === undefined || known === listener) && stop()),
    reportEvent: (eventId: string, data?: unknown) => void phone.reported.push({ eventId, data }),
    getUserCryptoManager: () => ({ getRandomValues: randomValues(life) }),
  };
}

function storageCalls({ life, phone: { storage } }: Game) {
  const alive = <A extends unknown[], R>(call: (...values: A) => R) => {
    return (...values: A): R => {
      life.assertAlive();
      const result = call(...values);
      life.assertAlive();
      return result;
    };
  };
  return {
    getStorageSync: alive((key: string) => storage.get(key)) as <T = unknown>(key: string) => T,
    setStorageSync: alive((key: string, data: unknown) => storage.set(key, data)),
    removeStorageSync: alive((key: string) => storage.remove(key)),
    clearStorageSync: alive(() => storage.clear()),
    getStorageInfoSync: alive(() => storage.info()),
  };
}

function accountCalls(game: Game) {
  const { life, phone } = game;
  return {
    login: (options?: Callbacks<{ code: string; errMsg: string }>) => {
      phone.logins += 1;
      phone.sessionKeyValid = true;
      const work =
        phone.network.type === 'none'
          ? Promise.reject(new Error('net'))
          : phone.world.platform.code(phone.player.name);
      return promised(
        deliver(life),
        'login',
        options,
        work.then((code) => ({ code, errMsg: 'login:ok' })),
      );
    },
    checkSession: (options?: Callbacks<{ errMsg: string }>) =>
      promised(deliver(life), 'checkSession', options, checkSession(game)),
    createUserInfoButton: (options: { style: object }) => createUserInfoButton(game, options.style),
    getUserInfo: (options?: Callbacks<object>) =>
      promised(deliver(life), 'getUserInfo', options, readProfile(game)),
    getSetting: (options?: Callbacks<object>) => {
      const authSetting: { [scope: string]: boolean } = {};
      phone.consents.decided.forEach((allowed, scope) => (authSetting[scope] = allowed));
      return promised(deliver(life), 'getSetting', options, Promise.resolve({ authSetting }));
    },
    getPrivacySetting: (options: Callbacks<object>) =>
      callback(
        deliver(life),
        'getPrivacySetting',
        options,
        Promise.resolve({ needAuthorization: phone.consents.privacyNeeded, privacyContractName: '' }),
      ),
    onNeedPrivacyAuthorization: (listener: PrivacyListener) => phone.consents.onPrivacy(listener),
    requirePrivacyAuthorize: (options: Callbacks<object>) =>
      callback(
        deliver(life),
        'requirePrivacyAuthorize',
        options,
        phone.consents.requirePrivacy('requirePrivacyAuthorize').then(() => ({})),
      ),
  };
}

function paymentCalls({ life, phone }: Game) {
  const { payments, player } = phone;
  return {
    requestPayment: (options: Parameters_) =>
      promised(
        deliver(life),
        'requestPayment',
        options,
        payments.requestPayment(player.openid, plain(options)),
      ),
    requestMidasPayment: (options: Parameters_) =>
      promised(
        deliver(life),
        'requestMidasPayment',
        options,
        payments.midas('requestMidasPayment', player.openid, plain(options)),
      ),
    requestMidasPaymentGameItem: (options: Parameters_) =>
      callback(
        deliver(life),
        'requestMidasPaymentGameItem',
        options,
        payments.midas('requestMidasPaymentGameItem', player.openid, plain(options)),
      ),
    checkIsSupportMidasPayment: (options: Callbacks<object>) =>
      callback(
        deliver(life),
        'checkIsSupportMidasPayment',
        options,
        Promise.resolve({ data: payments.support() }),
      ),
  };
}

function socialCalls(game: Game) {
  const { life, phone } = game;
  return {
    showShareMenu: (options?: Callbacks<object> & { withShareTicket?: boolean; menus?: string[] }) => {
      phone.sharing.showMenu(options || {});
      return promised(
        deliver(life),
        'showShareMenu',
        options,
        Promise.resolve({ errMsg: 'showShareMenu:ok' }),
      );
    },
    updateShareMenu: (options: Callbacks<object> & { withShareTicket?: boolean }) => {
      phone.sharing.updateMenu(options);
      return promised(
        deliver(life),
        'updateShareMenu',
        options,
        Promise.resolve({ errMsg: 'updateShareMenu:ok' }),
      );
    },
    onShareAppMessage: (listener: MenuListener) => phone.sharing.onMenu(listener),
    shareAppMessage: (content: ShareContent) => {
      life.assertAlive();
      void phone.sharing.pick(life, content);
    },
    getGroupEnterInfo: (options: Callbacks<object>) =>
      callback(deliver(life), 'getGroupEnterInfo', options, groupInfo(game)),
    requestSubscribeMessage: (options: Callbacks<object> & { tmplIds: string[] }) =>
      promised(
        deliver(life),
        'requestSubscribeMessage',
        options,
        phone.subscriptions.request(options.tmplIds, life.inForeground),
      ),
    setUserCloudStorage: (options: Callbacks<object> & { KVDataList: { key: string; value: string }[] }) =>
      promised(deliver(life), 'setUserCloudStorage', options, host(game, options.KVDataList)),
    getOpenDataContext: (options?: { sharedCanvasMode?: string }) => game.openData.open(options),
  };
}

async function checkSession({ phone }: Game): Promise<{ errMsg: string }> {
  if (!phone.sessionKeyValid) throw failure('checkSession', 'session_key is expired');
  return { errMsg: 'checkSession:ok' };
}

async function groupInfo({ phone, life }: Game): Promise<object> {
  const ticket = life.entry.shareTicket;
  const group = ticket === undefined ? undefined : phone.world.groupOf(ticket);
  if (!group) throw failure('getGroupEnterInfo', 'not entered from a group');
  return phone.world.platform.encrypt(phone.player.openid, { opengid: group.id, openGId: group.id });
}

/** WeChat stores at most 128 values a player, keys of 128 bytes, and 1024 bytes a pair; all of them strings. */
async function host({ phone }: Game, list: { key: string; value: string }[]): Promise<object> {
  for (const { key, value } of list) {
    if (typeof value !== 'string') throw failure('setUserCloudStorage', 'value should be a string');
    if (sizeOf(key) > 128) throw failure('setUserCloudStorage', 'key too long');
    if (sizeOf(key) + sizeOf(value) > 1024) throw failure('setUserCloudStorage', 'key-value too long');
  }
  for (const { key, value } of list) phone.player.hosted.set(key, value);
  if (phone.player.hosted.size > 128) throw failure('setUserCloudStorage', 'too many keys');
  return { errMsg: 'setUserCloudStorage:ok' };
}

function randomValues(life: { deliver(run: () => void): void }) {
  return (options: Callbacks<{ randomValues: ArrayBuffer }> & { length: number }): void => {
    const bytes = new Uint8Array(options.length);
    for (let index = 0; index < bytes.length; index++) bytes[index] = Math.floor(Math.random() * 256);
    callback(
      (run) => life.deliver(run),
      'getRandomValues',
      options,
      Promise.resolve({ randomValues: bytes.buffer as ArrayBuffer }),
    );
  };
}

function deliver(life: { deliver(run: () => void): void }): (run: () => void) => void {
  return (run) => life.deliver(run);
}

/** The parameters without the callbacks. */
function plain(options: Parameters_): { [name: string]: unknown } {
  const result: { [name: string]: unknown } = {};
  for (const name of Object.keys(options)) {
    if (name !== 'success' && name !== 'fail' && name !== 'complete') result[name] = options[name];
  }
  return result;
}
