/** Events that the SDK records by itself: launch, show, hide, error, network. Names begin with `$`. */
import { isFunction } from '../base/store.js';
import type { AvalonError } from '../base/errors.js';
import type { Emitter } from '../base/emitter.js';
import type { Host } from '../base/host.js';
import type { AppState } from '../base/lifecycle.js';
import { SDK_VERSION } from '../version.js';
import type { Device } from '../device.js';
import type { EventQueue } from './events.js';

/** Which events are recorded automatically; all by default. */
export interface AutoTrack {
  readonly launch?: boolean;
  readonly show?: boolean;
  readonly hide?: boolean;
  readonly error?: boolean;
  readonly network?: boolean;
  /** Failed calls by code and dropped events, once when the game is hidden. */
  readonly client?: boolean;
}

const MAX_MESSAGE = 500;

export function recordPresets(
  host: Host,
  app: AppState,
  events: EventQueue,
  device: Device,
  failures: Emitter<AvalonError>,
  auto: AutoTrack,
): void {
  const { wx } = host;
  const on = (name: keyof AutoTrack): boolean => auto[name] !== false;
  if (on('launch')) {
    const { scene } = wx.getLaunchOptionsSync();
    events.track('$launch', Object.assign({ scene, sdkVersion: SDK_VERSION }, device.facts));
  }
  // Some versions of WeChat call `onShow` for the start as well, some do not: the launch stands for it.
  let first = true;
  app.shown.add(({ scene }) => {
    if (!first && on('show')) events.track('$show', { scene });
    first = false;
  });
  app.hidden.add(() => {
    first = false;
    if (on('hide')) events.track('$hide', { duration: events.session.foregroundSeconds });
  });
  if (on('network')) app.networkChanged.add((networkType) => events.track('$network', { networkType }));
  if (on('error')) recordErrors(host, events);
  if (on('client')) recordClient(app, events, failures);
}

function recordErrors({ wx }: Host, events: EventQueue): void {
  const record = (message: unknown): void =>
    events.track('$error', { message: String(message).slice(0, MAX_MESSAGE) });
  if (isFunction(wx.onError)) wx.onError((error) => record((error && error.message) || error));
  if (isFunction(wx.onUnhandledRejection)) {
    wx.onUnhandledRejection(({ reason }) => record((reason && (reason as Error).message) || reason));
  }
}

function recordClient(app: AppState, events: EventQueue, failures: Emitter<AvalonError>): void {
  let codes: { [code: string]: number } = {};
  let reported = 0;
  failures.add(({ code }) => {
    codes[code] = (codes[code] || 0) + 1;
  });
  app.hidden.add(() => {
    const { dropped } = events.stats();
    if (Object.keys(codes).length === 0 && dropped === reported) return;
    events.track('$client', { sdkVersion: SDK_VERSION, failures: codes, dropped: dropped - reported });
    codes = {};
    reported = dropped;
  });
}
