/**
 * Client of avalon-wx for WeChat mini-games.
 *
 * @packageDocumentation
 */
export {
  composeClient,
  createBasicClient,
  createClient,
  signing,
  type BasicClient,
  type Client,
  type Members,
  type SessionClient,
} from './client.js';
export type { Part } from './core.js';
export { profile } from './session/profile.js';
export { events, manualEvents } from './events/events.js';
export { payments } from './payments/payments.js';
export { social } from './social/social.js';
export { scores } from './scores/scores.js';
export { friends } from './scores/friends.js';
export type { ClientOptions } from './options.js';
export { AvalonError, type ClientErrorCode, type ErrorDetails } from './base/errors.js';
export { createCancel, type Cancellable, type CancelSource, type CancelToken } from './base/cancel.js';
export type { Host } from './base/host.js';
export type {
  PrivacyAnswer,
  PrivacyListener,
  WxCallbacks,
  WxEntry,
  WxFailure,
  WxLike,
  WxOpenDataContext,
  WxPayment,
  WxProfile,
  WxResponse,
  WxShareContent,
  WxUserInfoButton,
} from './base/wx.js';
export type { Channel, Item, Order, OrderStatus, Product, ServiceErrorCode, UserInfo } from './api/types.js';
export type { SessionEvent } from './session/session.js';
export type { ProfileButton, ProfileButtonOptions, Profiles } from './session/profile.js';
export type { ConsumeOptions, OrderPage, PayOptions, Payments } from './payments/payments.js';
export type { PayResult, RefusalCode } from './payments/purchase.js';
export type { CoinBalance, Coins } from './payments/coins.js';
export type { Events, EventStats, TrackStatus } from './events/events.js';
export type { EventParams } from './events/properties.js';
export type { AutoTrack } from './events/presets.js';
export type { Forwarding } from './events/forward.js';
export type { Invites, Reward, RewardPage, Social } from './social/social.js';
export type { Entry } from './social/entries.js';
export type { ShareCard, ShareExtra } from './social/share.js';
export type { SubscribeResult } from './social/subscribe.js';
export type {
  Leaderboard,
  LeaderboardEntry,
  LeaderboardQuery,
  ScoreOptions,
  ScoreResult,
  Scores,
} from './scores/scores.js';
export type { Friends, RankingOptions, Rect } from './scores/friends.js';
export { SDK_VERSION } from './version.js';
