/** Composes clients. There is one per game: engines may load a script twice, and two clients would share storage. */
import type { UserInfo } from './api/types.js';
import { cancellable, type Cancellable } from './base/cancel.js';
import { warn } from './base/emitter.js';
import { gameGlobal } from './base/host.js';
import { createCore, part, type Part } from './core.js';
import { events, type Events } from './events/events.js';
import { signatureHeaders } from './http/sign.js';
import type { ClientOptions } from './options.js';
import type { Coins } from './payments/coins.js';
import { payments, type Payments } from './payments/payments.js';
import { friends, type Friends } from './scores/friends.js';
import { scores, type Scores } from './scores/scores.js';
import { profile, type Profiles } from './session/profile.js';
import type { SessionEvent } from './session/session.js';
import { social, type Social } from './social/social.js';
import { SDK_VERSION } from './version.js';

/** Sign-in. */
export interface SessionClient {
  readonly version: string;
  /** The signed-in player. */
  readonly user: UserInfo | undefined;
  /**
   * Signs in, or continues the stored session; concurrent calls share one sign-in. `byPlayer` says that the player
   * asked for it: it ends the state after `SESSION_REPLACED` and passes the limit of automatic sign-ins.
   */
  login(options?: Cancellable & { readonly byPlayer?: boolean }): Promise<UserInfo>;
  logout(options?: Cancellable & { readonly everywhere?: boolean }): Promise<void>;
  /** Hears what happens to the session. Returns a function that removes the listener. */
  onSession(listener: (event: SessionEvent) => void): () => void;
  /** The service's Unix time in milliseconds. */
  now(): number;
}

/** Sign-in, payments and events. */
export interface BasicClient extends SessionClient {
  readonly profile: Profiles;
  readonly payments: Payments;
  readonly coins: Coins;
  readonly events: Events;
}

/** Everything. */
export interface Client extends BasicClient {
  readonly social: Social;
  readonly scores: Scores;
  readonly friends: Friends;
}

/** The members that parts add to a client. */
export type Members<P extends readonly unknown[]> = P extends readonly [Part<infer T>, ...infer Rest]
  ? T & Members<Rest>
  : unknown;

const SLOT = '__avalonWxClient';

/** Part: signs requests, unless the option `sign` says otherwise. */
export const signing: Part<object> = part((core) => {
  if (core.options.sign !== false) core.http.signer = signatureHeaders;
  return {};
});

/** Creates the client with every feature; a second call returns the first one's. */
export function createClient(options: ClientOptions): Client {
  return composeClient(options, signing, events, profile, payments, social, scores, friends);
}

/** Creates a client without social features, which bundlers then leave out. */
export function createBasicClient(options: ClientOptions): BasicClient {
  return composeClient(options, signing, events, profile, payments);
}

/** Creates a client with sign-in and the named parts; bundlers leave the others out. */
export function composeClient<P extends readonly Part<object>[]>(
  options: ClientOptions,
  ...parts: P
): SessionClient & Members<P> {
  type Created = SessionClient & Members<P>;
  const global = ((options && options.host && options.host.global) || gameGlobal()) as {
    [name: string]: unknown;
  };
  const known = global[SLOT];
  if (known) {
    warn('createClient: again');
    return known as Created;
  }
  const core = createCore(options);
  const { session, clock, entries, host } = core;
  const client: SessionClient = {
    version: SDK_VERSION,
    get user() {
      return session.player();
    },
    login: ({ byPlayer, cancel } = {}) => cancellable(session.signIn(byPlayer === true), cancel),
    logout: ({ everywhere, cancel } = {}) => cancellable(session.signOut(everywhere === true), cancel),
    onSession: (listener) => session.changes.listen(listener),
    now: () => clock.time(),
  };
  for (const create of parts) Object.assign(client, create(core as never));
  // The listeners of the game come first, so the launch is reported in the next turn.
  host.setTimeout(entries.launch, 0);
  // Not enumerable: games that serialise their globals must not find it.
  Object.defineProperty(global, SLOT, { value: client, configurable: true });
  return client as Created;
}
