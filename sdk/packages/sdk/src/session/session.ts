/**
 * The player's session: one sign-in for all concurrent callers, a stored session that outlives the game, renewal before
 * expiry, and one new sign-in when the service demands it.
 *
 * States: signed out -> signed in -> (renewed …) -> ended. A session that was replaced by another device, or whose
 * player is banned, stays ended until the game calls `login({ byPlayer: true })`.
 */
import { readNothing } from '../api/read.js';
import type { UserInfo } from '../api/types.js';
import { emitter, type Emitter } from '../base/emitter.js';
import { AvalonError, toError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import type { Ids } from '../base/ids.js';
import type { Store } from '../base/store.js';
import { ignore, shared } from '../base/values.js';
import type { Authority } from '../http/authority.js';
import type { ServerClock } from '../http/clock.js';
import type { Http } from '../http/http.js';
import { deviceIdOf, fromAnswer, isSession, readSignedIn, type StoredSession } from './stored.js';
import { wxLogin } from './wx-login.js';

/** What happens to the session. `replaced` and `banned` are reported once; the game shows them to the player. */
export type SessionEvent =
  | { readonly type: 'signed-in'; readonly user: UserInfo }
  | { readonly type: 'signed-out' }
  | { readonly type: 'replaced' }
  | { readonly type: 'banned' };

/** How the game was entered, as far as a sign-in reports it. */
export interface SignInContext {
  readonly scene?: number;
  readonly inviteCode?: string;
  readonly shareId?: string;
}

/** @internal */
export interface SessionParts {
  readonly host: Host;
  readonly http: Http;
  readonly clock: ServerClock;
  readonly ids: Ids;
  readonly store: Store;
  readonly deviceType: string;
  readonly context: () => SignInContext;
}

/** @internal */
export interface Session extends Authority {
  readonly changes: Emitter<SessionEvent>;
  /** The signed-in player, if any. */
  player(): UserInfo | undefined;
  /** Signs in, or continues the stored session. */
  signIn(byPlayer: boolean): Promise<UserInfo>;
  /** Ends the session on the service and on the phone. */
  signOut(everywhere: boolean): Promise<void>;
  /** Replaces the session key at WeChat: one `wx.login`, shared by concurrent callers. */
  signInAgain(): Promise<unknown>;
  /** Stores the changed profile. */
  setPlayer(user: UserInfo): void;
}

const KEY = 'session';
/** The token is renewed when this little of its lifetime is left. */
const RENEW_PART = 0.25;
const ANONYMOUS = { anonymous: true, priority: 'urgent' as const };
/** Codes that end the session, with what the game hears. */
const ENDING: { readonly [code: string]: 'replaced' | 'banned' } = {
  SESSION_REPLACED: 'replaced',
  USER_BANNED: 'banned',
};
/** Codes after which only a new sign-in helps. */
const SIGN_IN_CODES = /^(SIGN_IN_AGAIN|UNAUTHENTICATED|SESSION_E(XPIRED|NDED)|REFRESH_TOKEN_REUSED)$/;

export function createSession({ host, http, clock, ids, store, deviceType, context }: SessionParts): Session {
  const changes = emitter<SessionEvent>();
  let current = store.read(KEY, isSession);
  /** The code that ended the session. */
  let ended: string | undefined;

  /** Stores the session before anything uses it: a refresh token that is lost ends the session. */
  const accept = (session: StoredSession): StoredSession => {
    store.write(KEY, session);
    current = session;
    return session;
  };

  const forget = (): void => {
    current = undefined;
    store.erase(KEY);
  };

  /** Ends the session if the code says so. */
  const endBy = (code: string): void => {
    const type = ENDING[code];
    if (!type || ended) return;
    ended = code;
    forget();
    changes.emit({ type });
  };

  const enter = shared(async (byPlayer: boolean): Promise<StoredSession> => {
    const code = await wxLogin(host, store, byPlayer);
    const body = { code, deviceId: deviceIdOf(store, ids), deviceType, ...context() };
    try {
      const session = accept(
        fromAnswer(await http.submit('login', body, readSignedIn, ANONYMOUS), clock.time()),
      );
      changes.emit({ type: 'signed-in', user: session.userInfo });
      return session;
    } catch (error) {
      const { code } = toError(error);
      if (code === 'USER_BANNED') endBy(code);
      throw error;
    }
  });

  const refresh = shared(async (): Promise<StoredSession> => {
    if (!current) return enter(false);
    const { refreshToken } = current;
    try {
      const answer = await http.submit('refreshToken', { refreshToken }, readSignedIn, ANONYMOUS);
      return accept(fromAnswer(answer, clock.time()));
    } catch (error) {
      const { code } = toError(error);
      endBy(code);
      if (!SIGN_IN_CODES.test(code)) throw error;
      return enter(false);
    }
  });

  const ensure = async (byPlayer: boolean): Promise<StoredSession> => {
    if (ended) throw new AvalonError(ended);
    const now = clock.time();
    if (!current || current.refreshExpires <= now) return enter(byPlayer);
    const { expires, since, refreshExpires, refreshSince } = current;
    if (expires <= now) return refresh();
    // The token is still good: it is renewed beside the call.
    if (
      expires - now < (expires - since) * RENEW_PART ||
      refreshExpires - now < (refreshExpires - refreshSince) / 2
    )
      ignore(refresh());
    return current;
  };

  return {
    changes,
    player: () => current && current.userInfo,
    async signIn(byPlayer) {
      if (byPlayer) ended = undefined;
      return (await ensure(byPlayer)).userInfo;
    },
    async signOut(everywhere) {
      if (!current) return;
      try {
        await http.submit(`logout${everywhere ? '?everywhere=true' : ''}`, undefined, readNothing, {
          attempts: 2,
        });
      } finally {
        forget();
        changes.emit({ type: 'signed-out' });
      }
    },
    signInAgain: () => enter(false),
    setPlayer(user) {
      if (!current) return;
      current.userInfo = user;
      accept(current);
    },
    async credentials() {
      // A copy: the stored session changes when its token is renewed, what a request has used does not.
      const { token, signingKey } = await ensure(false);
      return { token, signingKey };
    },
    async rejected(code, used) {
      const isReplaced = current && current.token !== used.token;
      if (code === 'SIGNATURE_STALE' || code === 'NONCE_REUSED') return true;
      if (isReplaced && code !== 'USER_BANNED') return true;
      if (code === 'TOKEN_EXPIRED') return !!(await refresh());
      if (SIGN_IN_CODES.test(code)) return !!(await enter(false));
      endBy(code);
      return false;
    },
    renewed({ token: used }, token, expires) {
      if (!current || current.token !== used || !(expires > current.expires)) return;
      accept(Object.assign(current, { token, since: clock.time(), expires }));
    },
  };
}
