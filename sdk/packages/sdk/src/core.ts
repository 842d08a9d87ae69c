/** The parts that every client has: requests, session, events. Features are added to it. */
import { Emitter } from './base/emitter.js';
import type { AvalonError } from './base/errors.js';
import type { Host } from './base/host.js';
import { Ids } from './base/ids.js';
import { AppState } from './base/lifecycle.js';
import { defined, isFunction, Store } from './base/store.js';
import { readDevice, type Device } from './device.js';
import { EventQueue } from './events/events.js';
import { createForward } from './events/forward.js';
import { recordPresets } from './events/presets.js';
import { ServerClock } from './http/clock.js';
import { Http } from './http/http.js';
import { Slots } from './http/slots.js';
import { checkOptions, type ClientOptions } from './options.js';
import { createProfiles, type Profiles } from './session/profile.js';
import { Session } from './session/session.js';
import { SessionStore } from './session/stored.js';
import { Entries } from './social/entries.js';

/**
 * What features are built from.
 *
 * @internal
 */
export interface Core {
  readonly host: Host;
  readonly http: Http;
  readonly store: Store;
  readonly app: AppState;
  readonly ids: Ids;
  readonly device: Device;
  readonly clock: ServerClock;
  readonly session: Session;
  readonly profile: Profiles;
  readonly events: EventQueue;
  readonly entries: Entries;
}

/** Builds the core and starts it. */
export function createCore(options: ClientOptions): Core {
  const checked = checkOptions(options);
  const { host, baseUrl, sign = true, autoTrack = {}, forward = {} } = checked;
  const app = new AppState(host);
  const store = new Store(host);
  const ids = new Ids(host);
  const device = readDevice(host);
  const clock = new ServerClock(host);
  const failures = new Emitter<AvalonError>();
  const http = new Http({ host, baseUrl, app, slots: new Slots(), clock, ids, sign, failures });
  const entries = new Entries(host, app);
  const session = new Session({
    host,
    http,
    clock,
    ids,
    stored: new SessionStore(store),
    deviceType: device.platform,
    context: () => contextOf(entries),
  });
  http.authority = session;
  const appVersion = (checked.appVersion || device.appVersion).slice(0, 32);
  const events = new EventQueue({
    host,
    http,
    store,
    app,
    ids,
    signedIn: () => session.signedIn,
    envelope: () =>
      defined({
        platform: device.platform,
        scene: entries.current.scene,
        appVersion: appVersion || undefined,
      }),
    forward: createForward(host, forward),
  });
  recordPresets(host, app, events, device, failures, autoTrack);
  events.listen();
  session.events.add(({ type }) => {
    if (type === 'signed-in') events.wake();
  });
  const { onNeedPrivacyAuthorization } = checked;
  if (onNeedPrivacyAuthorization && isFunction(host.wx.onNeedPrivacyAuthorization)) {
    host.wx.onNeedPrivacyAuthorization(onNeedPrivacyAuthorization);
  }
  return {
    host,
    http,
    store,
    app,
    ids,
    device,
    clock,
    session,
    profile: createProfiles(host, http, session),
    events,
    entries,
  };
}

function contextOf({ current }: Entries): { scene?: number; inviteCode?: string; shareId?: string } {
  const { scene, inviteCode, shareId } = current;
  return defined({ scene, inviteCode, shareId });
}
