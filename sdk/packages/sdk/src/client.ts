/** Composes clients. There is one per game: engines may load a script twice, and two clients would share storage. */
import type { UserInfo } from './api/types.js';
import { cancellable, type Cancellable } from './base/cancel.js';
import { warn } from './base/emitter.js';
import { createCore, type Core } from './core.js';
import type { Events } from './events/events.js';
import type { ClientOptions } from './options.js';
import type { Coins } from './payments/coins.js';
import { createPayments, type Payments } from './payments/payments.js';
import { createFriends, type Friends } from './scores/friends.js';
import { createScores, type Scores } from './scores/scores.js';
import type { Profiles } from './session/profile.js';
import type { SessionEvent } from './session/session.js';
import { createSocial, type Social } from './social/social.js';
import { SDK_VERSION } from './version.js';

/** Sign-in, payments and events. */
export interface BasicClient {
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

const SLOT = '__avalonWxClient';

/** Creates the client with every feature; a second call returns the first one's. */
export function createClient(options: ClientOptions): Client {
  return single(options, (core) => {
    const { resume, ...scores } = createScores(core);
    const client = basic(core);
    const { host, device } = core;
    Object.assign(client, { social: createSocial(core), scores, friends: createFriends(host, device) });
    if (core.session.signedIn) host.setTimeout(resume, 0);
    return client as Client;
  });
}

/** Creates a client without social features, which bundlers then leave out. */
export function createBasicClient(options: ClientOptions): BasicClient {
  return single(options, basic);
}

function basic(core: Core): BasicClient {
  const { host, session, clock, profile, events, entries } = core;
  const { payments, coins, resume } = createPayments(core);
  if (session.signedIn) host.setTimeout(resume, 0);
  session.events.add(({ type }) => {
    if (type === 'signed-in') resume();
  });
  // The listeners of the game come first, so the launch is reported in the next turn.
  host.setTimeout(() => entries.launch(), 0);
  return {
    version: SDK_VERSION,
    get user() {
      return session.user;
    },
    login: ({ byPlayer, cancel } = {}) => cancellable(session.login(byPlayer === true), cancel),
    logout: ({ everywhere, cancel } = {}) => cancellable(session.logout(everywhere === true), cancel),
    onSession: (listener) => session.events.add(listener),
    now: () => clock.now(),
    profile,
    payments,
    coins,
    events,
  };
}

function single<C extends object>(options: ClientOptions, create: (core: Core) => C): C {
  const global = ((options && options.host && options.host.global) || gameGlobal()) as {
    [name: string]: unknown;
  };
  const known = global[SLOT];
  if (known) {
    warn('createClient: again');
    return known as C;
  }
  const client = create(createCore(options));
  // Not enumerable: games that serialise their globals must not find it.
  Object.defineProperty(global, SLOT, { value: client, configurable: true });
  return client;
}

declare const GameGlobal: unknown;

function gameGlobal(): object {
  return typeof GameGlobal === 'object' && GameGlobal !== null ? GameGlobal : {};
}
