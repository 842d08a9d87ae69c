/** What every client has: requests, the session, entries. Features are parts that are built on it. */
import { emitter, type Emitter } from './base/emitter.js';
import type { AvalonError } from './base/errors.js';
import type { Host } from './base/host.js';
import { createIds, type Ids } from './base/ids.js';
import { followApp, type AppState } from './base/lifecycle.js';
import { createStore, type Store } from './base/store.js';
import { defined, isFunction, nothing } from './base/values.js';
import { readDevice, type Device } from './device.js';
import type { EventParams } from './events/properties.js';
import { createClock, type ServerClock } from './http/clock.js';
import { createHttp, type Http } from './http/http.js';
import { checkOptions, type ClientOptions } from './options.js';
import { createSession, type Session } from './session/session.js';
import { createEntries, type Entries } from './social/entries.js';

/**
 * What features are built from.
 *
 * @internal
 */
export interface Core {
  readonly host: Host;
  readonly options: ClientOptions;
  readonly http: Http;
  readonly store: Store;
  readonly app: AppState;
  readonly ids: Ids;
  readonly device: Device;
  readonly clock: ServerClock;
  readonly session: Session;
  readonly entries: Entries;
  /** Hears of every failed call. */
  readonly failures: Emitter<AvalonError>;
  /** Records an event; ignored by clients without events. */
  record(name: string, params: EventParams): void;
  /** Calls `work` after the start with a stored session, and after every sign-in. */
  whenSignedIn(work: () => void): void;
}

/** A feature of clients: a function that returns their members. Those of this package are the only ones. */
export type Part<T extends object> = (core: never) => T;

/** Declares a part. */
export function part<T extends object>(create: (core: Core) => T): Part<T> {
  return create;
}

/** Builds the core and starts it. */
export function createCore(given: ClientOptions): Core {
  const options = checkOptions(given);
  const { host, baseUrl, onNeedPrivacyAuthorization } = options;
  const app = followApp(host);
  const store = createStore(host);
  const ids = createIds(host);
  const device = readDevice(host);
  const clock = createClock(host);
  const failures = emitter<AvalonError>();
  const http = createHttp({ host, baseUrl, app, clock, ids, failures });
  const entries = createEntries(host, app);
  const session = createSession({
    host,
    http,
    clock,
    ids,
    store,
    deviceType: device.platform,
    context() {
      const { scene, inviteCode, shareId } = entries.latest();
      return defined({ scene, inviteCode, shareId });
    },
  });
  http.authority = session;
  if (onNeedPrivacyAuthorization && isFunction(host.wx.onNeedPrivacyAuthorization)) {
    host.wx.onNeedPrivacyAuthorization(onNeedPrivacyAuthorization);
  }
  return {
    host,
    options,
    http,
    store,
    app,
    ids,
    device,
    clock,
    session,
    entries,
    failures,
    record: nothing,
    whenSignedIn(work) {
      if (session.player()) host.setTimeout(work, 0);
      session.changes.listen(({ type }) => {
        if (type === 'signed-in') work();
      });
    },
  };
}
