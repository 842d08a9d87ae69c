/** What the session keeps in storage. */
import { fits } from '../api/read.js';
import type { SignedIn, UserInfo } from '../api/types.js';
import type { Store } from '../base/store.js';
import { isNumber, isString } from '../base/values.js';

/** A stored session: an answer of the service, and when it was received. Times are the server's Unix milliseconds. */
export interface StoredSession {
  token: string;
  /** When the token was received, to know its lifetime. */
  since: number;
  expires: number;
  readonly refreshToken: string;
  readonly refreshSince: number;
  readonly refreshExpires: number;
  readonly signingKey: string;
  userInfo: UserInfo;
}

/** Fields of an answer to a sign-in. */
const ANSWER = 'token refreshToken signingKey #expires #refreshExpires';

export function readSignedIn(body: unknown): SignedIn | undefined {
  return fits(body, ANSWER) && fits(body['userInfo'], '_id') ? (body as unknown as SignedIn) : undefined;
}

/** Returns the session of an answer. */
export function fromAnswer(answer: SignedIn, now: number): StoredSession {
  const { token, expires, refreshToken, refreshExpires, signingKey, userInfo } = answer;
  return {
    token,
    since: now,
    expires,
    refreshToken,
    refreshSince: now,
    refreshExpires,
    signingKey,
    userInfo: userInfo as UserInfo,
  };
}

export function isSession(value: unknown): value is StoredSession {
  return readSignedIn(value) !== undefined && fits(value, '#since #refreshSince');
}

/** Returns the id of this installation, creating it once. */
export function deviceIdOf(store: Store, create: () => string): string {
  let id = store.read('device', isString);
  if (!id || id.length > 128) store.write('device', (id = create()));
  return id;
}

/** Whether the value is the times of the latest calls of `wx.login`, by the phone's clock. */
export function isTimes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isNumber);
}
