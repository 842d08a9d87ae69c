/** Events that the SDK records by itself: launch, show, hide, error, network. Names begin with `$`. */
import { isFunction } from '../base/values.js';
import type { Core } from '../core.js';
import { SDK_VERSION } from '../version.js';
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
  { host: { wx }, app, device, options, failures }: Core,
  { track, stats, foreground }: EventQueue,
): void {
  const auto = options.autoTrack || {};
  const on = (name: keyof AutoTrack): boolean => auto[name] !== false;
  if (on('launch')) {
    const { scene } = wx.getLaunchOptionsSync();
    track('$launch', { scene, sdkVersion: SDK_VERSION, ...device.facts });
  }
  // Some versions of WeChat call `onShow` for the start as well, some do not: the launch stands for it.
  let first = true;
  app.returned.listen(({ scene }) => {
    if (!first && on('show')) track('$show', { scene });
    first = false;
  });
  app.hidden.listen(() => {
    first = false;
    if (on('hide')) track('$hide', { duration: foreground() });
  });
  if (on('network')) app.networkChanged.listen((networkType) => track('$network', { networkType }));
  if (on('error')) {
    const record = (error: unknown): void =>
      track('$error', {
        message: String((error && (error as Error).message) || error).slice(0, MAX_MESSAGE),
      });
    if (isFunction(wx.onError)) wx.onError(record);
    if (isFunction(wx.onUnhandledRejection)) wx.onUnhandledRejection(({ reason }) => record(reason));
  }
  if (on('client')) {
    let codes: { [code: string]: number } = {};
    let reported = 0;
    failures.listen(({ code }) => {
      codes[code] = (codes[code] || 0) + 1;
    });
    app.hidden.listen(() => {
      const dropped = stats().dropped - reported;
      if (!dropped && !Object.keys(codes).length) return;
      track('$client', { sdkVersion: SDK_VERSION, failures: codes, dropped });
      codes = {};
      reported += dropped;
    });
  }
}
