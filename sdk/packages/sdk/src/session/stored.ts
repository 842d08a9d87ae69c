/** What the session keeps in storage. */
import type { SignedIn, UserInfo } from '../api/types.js';
import { isUserInfo, listOf, numbers, texts } from '../api/read.js';
import { isNumber, isString, type Store } from '../base/store.js';

/** A stored session. Times are the server's Unix milliseconds. */
export interface StoredSession {
  token: string;
  /** When the token was received, to know its lifetime. */
  since: number;
  expires: number;
  refreshToken: string;
  refreshSince: number;
  refreshExpires: number;
  signingKey: string;
  userInfo: UserInfo;
}

const SESSION = 'session';
const DEVICE = 'device';
const LOGINS = 'logins';

/** Returns the session of an answer. */
export function fromAnswer(answer: SignedIn, now: number): StoredSession {
  return {
    token: answer.token,
    since: now,
    expires: answer.expires,
    refreshToken: answer.refreshToken,
    refreshSince: now,
    refreshExpires: answer.refreshExpires,
    signingKey: answer.signingKey,
    userInfo: answer.userInfo as UserInfo,
  };
}

/** The session's values in storage. */
export class SessionStore {
  constructor(private readonly store: Store) {}

  read(): StoredSession | undefined {
    return this.store.read(SESSION, isSession);
  }

  write(session: StoredSession): void {
    this.store.write(SESSION, session);
  }

  clear(): void {
    this.store.remove(SESSION);
  }

  /** Returns the id of this installation, creating it once. */
  deviceId(create: () => string): string {
    const known = this.store.read(DEVICE, isString);
    if (known !== undefined && known.length > 0 && known.length <= 128) return known;
    const id = create();
    this.store.write(DEVICE, id);
    return id;
  }

  /** The times of the latest calls of `wx.login`, by the phone's clock. */
  logins(): number[] {
    return this.store.read(LOGINS, isNumbers) || [];
  }

  setLogins(times: number[]): void {
    this.store.write(LOGINS, times);
  }
}

function isSession(value: unknown): value is StoredSession {
  return (
    texts(value, 'token', 'refreshToken', 'signingKey') &&
    numbers(value, 'since', 'expires', 'refreshSince', 'refreshExpires') &&
    isUserInfo(value['userInfo'])
  );
}

function isNumbers(value: unknown): value is number[] {
  return listOf(value, isNumber);
}
