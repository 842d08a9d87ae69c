/** A stand-in for WeChat's mini-game runtime. See the README for an example. */
export { realClock, VirtualClock, type Clock, type TimerId } from './clock.js';
export { macrotaskPromise } from './macrotask-promise.js';
export { World, type Group, type Player, type WorldOptions } from './world.js';
export { Phone, type PhoneOptions, type PhonePlatform, type PhoneSettings } from './phone.js';
export { Game, type GameHost } from './game.js';
export type { StandInWx } from './wx.js';
export { Lifecycle, SUSPENDED_AFTER_MS, type Entry } from './lifecycle.js';
export { PhoneStorage, type StorageCall, type StorageFault, type StorageInfo } from './storage.js';
export {
  fetchTransport,
  PhoneNetwork,
  type NetworkFault,
  type NetworkRequest,
  type NetworkResponse,
  type NetworkStatus,
  type NetworkType,
  type Transport,
} from './network.js';
export { MAX_REQUESTS, MAX_TIMEOUT_MS, type RequestOptions, type RequestTask } from './requests.js';
export {
  localPlatform,
  simulatorPlatform,
  type EncryptedData,
  type PaymentDevice,
  type PaymentRequest,
  type Platform,
} from './platform.js';
export { Payments, type SheetAnswer } from './payment.js';
export { Consents, type Consent, type Scope } from './consent.js';
export { Sharing, SHARE_PROMISE_MS, type ShareCard, type ShareContent, type ShareTarget } from './share.js';
export { Subscriptions, type SubscribeAnswer } from './subscribe.js';
export {
  OpenData,
  type Drawing,
  type OpenDataContext,
  type Realm,
  type RealmGlobals,
  type StandInCanvas,
  type Touch,
  type TouchEvent,
  type TouchKind,
} from './open-data.js';
export { SINCE, compareVersions } from './versions.js';
