/**
 * The player's session: one sign-in for all concurrent callers, a stored session that outlives the game, renewal before
 * expiry, and one new sign-in when the service demands it.
 *
 * States: signed out -> signed in -> (renewed …) -> ended. A session that was replaced by another device, or whose
 * player is banned, stays ended until the game calls `login({ byPlayer: true })`.
 */
import type { UserInfo } from '../api/types.js';
import { readNothing, readSignedIn } from '../api/read.js';
import { Emitter } from '../base/emitter.js';
import { AvalonError, toError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import type { Ids } from '../base/ids.js';
import type { Authority, Credentials, Recovery } from '../http/authority.js';
import type { ServerClock } from '../http/clock.js';
import type { Http } from '../http/http.js';
import { fromAnswer, type SessionStore, type StoredSession } from './stored.js';
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
  readonly stored: SessionStore;
  readonly deviceType: string;
  readonly context: () => SignInContext;
}

/** The token is renewed when this little of its lifetime is left. */
const RENEW_PART = 0.25;

const ANONYMOUS = { anonymous: true, priority: 'urgent' as const };

/** Codes after which only a new sign-in helps. */
const SIGN_IN_CODES = [
  'SIGN_IN_AGAIN',
  'UNAUTHENTICATED',
  'SESSION_EXPIRED',
  'SESSION_ENDED',
  'REFRESH_TOKEN_REUSED',
];

export class Session implements Authority {
  readonly events = new Emitter<SessionEvent>();
  private current: StoredSession | undefined;
  private ended: 'replaced' | 'banned' | undefined;
  private signingIn: Promise<StoredSession> | undefined;
  private refreshing: Promise<StoredSession> | undefined;

  constructor(private readonly parts: SessionParts) {
    this.current = parts.stored.read();
  }

  /** The signed-in player, if any. */
  get user(): UserInfo | undefined {
    return this.current && this.current.userInfo;
  }

  get signedIn(): boolean {
    return this.current !== undefined;
  }

  /** Signs in, or continues the stored session. */
  async login(byPlayer: boolean): Promise<UserInfo> {
    if (byPlayer) this.ended = undefined;
    const session = await this.ensure(byPlayer);
    return session.userInfo;
  }

  /** Ends the session on the service and on the phone. */
  async logout(everywhere: boolean): Promise<void> {
    if (!this.current) return;
    const path = `/api/wx/logout${everywhere ? '?everywhere=true' : ''}`;
    try {
      await this.parts.http.post(path, undefined, readNothing, { attempts: 2 });
    } finally {
      this.forget();
      this.events.emit({ type: 'signed-out' });
    }
  }

  /** Replaces the session key at WeChat: one `wx.login`, shared by concurrent callers. */
  async signInAgain(): Promise<void> {
    await this.signIn(false);
  }

  /** Stores the changed profile. */
  setUser(user: UserInfo): void {
    if (!this.current) return;
    this.current.userInfo = user;
    this.parts.stored.write(this.current);
  }

  async credentials(): Promise<Credentials> {
    // A copy: the stored session changes when its token is renewed, what a request has used does not.
    const { token, signingKey } = await this.ensure(false);
    return { token, signingKey };
  }

  async rejected(code: string, used: Credentials): Promise<Recovery> {
    const replacedMeanwhile = this.current !== undefined && this.current.token !== used.token;
    if (code === 'SIGNATURE_STALE' || code === 'NONCE_REUSED') return 'repeat';
    if (code === 'USER_BANNED') return this.end('banned');
    if (replacedMeanwhile) return 'repeat';
    if (code === 'SESSION_REPLACED') return this.end('replaced');
    if (code === 'TOKEN_EXPIRED') {
      await this.refresh();
      return 'repeat';
    }
    if (SIGN_IN_CODES.indexOf(code) < 0) return 'give-up';
    await this.signIn(false);
    return 'repeat';
  }

  renewed(used: Credentials, token: string, expires: number): void {
    const session = this.current;
    if (!session || session.token !== used.token || !(expires > session.expires)) return;
    session.token = token;
    session.since = this.parts.clock.now();
    session.expires = expires;
    this.parts.stored.write(session);
  }

  private async ensure(byPlayer: boolean): Promise<StoredSession> {
    if (this.ended) throw new AvalonError(this.ended === 'banned' ? 'USER_BANNED' : 'SESSION_REPLACED');
    const session = this.current;
    const now = this.parts.clock.now();
    if (!session || session.refreshExpires <= now) return this.signIn(byPlayer);
    if (session.expires <= now) return this.refresh();
    const refreshHalf = (session.refreshExpires - session.refreshSince) / 2;
    const due = session.expires - now < (session.expires - session.since) * RENEW_PART;
    if (due || session.refreshExpires - now < refreshHalf) {
      // The token is still good: renew it beside the call.
      this.refresh().catch(() => undefined);
    }
    return session;
  }

  private refresh(): Promise<StoredSession> {
    if (this.refreshing) return this.refreshing;
    const session = this.current;
    if (!session) return this.signIn(false);
    const work = this.requestRefresh(session);
    const done = (): void => {
      this.refreshing = undefined;
    };
    work.then(done, done);
    this.refreshing = work;
    return work;
  }

  private async requestRefresh(session: StoredSession): Promise<StoredSession> {
    try {
      const { refreshToken } = session;
      const { http } = this.parts;
      const answer = await http.post('/api/wx/refreshToken', { refreshToken }, readSignedIn, ANONYMOUS);
      return this.accept(fromAnswer(answer, this.parts.clock.now()), false);
    } catch (error) {
      const { code } = toError(error);
      if (code === 'SESSION_REPLACED') this.end('replaced');
      if (code === 'USER_BANNED') this.end('banned');
      if (SIGN_IN_CODES.indexOf(code) < 0) throw error;
      return this.signIn(false);
    }
  }

  private signIn(byPlayer: boolean): Promise<StoredSession> {
    if (this.signingIn) return this.signingIn;
    const work = this.requestSignIn(byPlayer);
    const done = (): void => {
      this.signingIn = undefined;
    };
    work.then(done, done);
    this.signingIn = work;
    return work;
  }

  private async requestSignIn(byPlayer: boolean): Promise<StoredSession> {
    const { host, http, stored, ids, deviceType, context, clock } = this.parts;
    const code = await wxLogin(host, stored, byPlayer);
    const deviceId = stored.deviceId(() => ids.next());
    try {
      const body = Object.assign({ code, deviceId, deviceType }, context());
      const answer = await http.post('/api/wx/login', body, readSignedIn, ANONYMOUS);
      return this.accept(fromAnswer(answer, clock.now()), true);
    } catch (error) {
      if (toError(error).code === 'USER_BANNED') this.end('banned');
      throw error;
    }
  }

  /** Stores the session before anything uses it: a refresh token that is lost ends the session. */
  private accept(session: StoredSession, announce: boolean): StoredSession {
    this.parts.stored.write(session);
    this.current = session;
    if (announce) this.events.emit({ type: 'signed-in', user: session.userInfo });
    return session;
  }

  private end(reason: 'replaced' | 'banned'): Recovery {
    if (this.ended === undefined) {
      this.ended = reason;
      this.forget();
      this.events.emit({ type: reason });
    }
    return 'give-up';
  }

  private forget(): void {
    this.current = undefined;
    this.parts.stored.clear();
  }
}
