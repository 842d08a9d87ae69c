/** Composes clients. There is one per game: engines may load a script twice, and two clients would share storage. */
import type { UserInfo } from './api/types.js';
import { warn } from './base/emitter.js';
import { createCore, type Core } from './core.js';
import type { Events } from './events/events.js';
import type { ClientOptions } from './options.js';
import { createCoins, type Coins } from './payments/coins.js';
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
  login(options?: { readonly byPlayer?: boolean }): Promise<UserInfo>;
  logout(options?: { readonly everywhere?: boolean }): Promise<void>;
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
    const { host, http, app, store, ids, device, entries, events, session } = core;
    const social = createSocial({
      host,
      http,
      app,
      entries,
      signedIn: () => session.credentials(),
      record: (params) => events.track('$share', params),
      failed: () => undefined,
    });
    const scores = createScores(http, store, app, ids);
    const client = Object.assign(basic(core), { social, scores, friends: createFriends(host, device) });
    start(core, scores.resume);
    return client;
  });
}

/** Creates a client without social features, which bundlers then leave out. */
export function createBasicClient(options: ClientOptions): BasicClient {
  return single(options, (core) => {
    const client = basic(core);
    start(core);
    return client;
  });
}

function basic(core: Core): BasicClient & { readonly core: Core } {
  const { host, http, session, clock, profile, events, store, app, ids, device } = core;
  const payments = createPayments({
    host,
    http,
    store,
    app,
    ids,
    device,
    signInAgain: () => session.signInAgain(),
    record: (params) => events.track('$payment', params),
  });
  const resume = (): void => payments.resume();
  if (session.signedIn) host.setTimeout(resume, 0);
  session.events.add(({ type }) => {
    if (type === 'signed-in') resume();
  });
  const client = {
    version: SDK_VERSION,
    login: (options: { readonly byPlayer?: boolean } = {}) => session.login(options.byPlayer === true),
    logout: (options: { readonly everywhere?: boolean } = {}) => session.logout(options.everywhere === true),
    onSession: (listener: (event: SessionEvent) => void) => session.events.add(listener),
    now: () => clock.now(),
    profile,
    payments,
    coins: createCoins(http, payments),
    events,
  };
  Object.defineProperty(client, 'user', { enumerable: true, get: () => session.user });
  return client as typeof client & { readonly user: UserInfo | undefined; readonly core: Core };
}

/** The listeners of the game come first, so the launch is reported in the next turn. */
function start({ host, entries, session }: Core, resume?: () => void): void {
  host.setTimeout(() => entries.launch(), 0);
  if (resume && session.signedIn) host.setTimeout(resume, 0);
}

function single<C extends object>(options: ClientOptions, create: (core: Core) => C): C {
  const global = ((options && options.host && options.host.global) || gameGlobal()) as {
    [name: string]: unknown;
  };
  const known = global[SLOT];
  if (known) {
    warn('createClient was called before; the first client is used');
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
