/** Options of `createClient`. Wrong ones throw there, with the option's name. */
import { AvalonError } from './base/errors.js';
import { globalHost, type Host } from './base/host.js';
import type { PrivacyListener } from './base/wx.js';
import type { AutoTrack } from './events/presets.js';
import type { Forwarding } from './events/forward.js';
import { isRecord, isString } from './base/store.js';

export interface ClientOptions {
  /** Origin of the service, such as `https://wx.example.com`, as registered in WeChat's console. */
  readonly baseUrl: string;
  /** Signs requests; true by default. */
  readonly sign?: boolean;
  /** Version of the game, up to 32 characters; by default that of the release. */
  readonly appVersion?: string;
  /** Events that are recorded automatically. */
  readonly autoTrack?: AutoTrack;
  /** Other systems that receive every event. */
  readonly forward?: Forwarding;
  /** WeChat's privacy gate: shows the game's dialogue, and calls `resolve` with the answer. */
  readonly onNeedPrivacyAuthorization?: PrivacyListener;
  /** The runtime; by default the globals of the mini-game. For tests. */
  readonly host?: Host;
}

const NAMES = ['baseUrl', 'sign', 'appVersion', 'autoTrack', 'forward', 'onNeedPrivacyAuthorization', 'host'];
const EVENTS = ['launch', 'show', 'hide', 'error', 'network', 'client'];

/** Checks the options; returns them with the host. */
export function checkOptions(options: ClientOptions): ClientOptions & { readonly host: Host } {
  if (!isRecord(options)) throw wrong('options', 'are not an object');
  for (const name of Object.keys(options)) if (NAMES.indexOf(name) < 0) throw wrong(name, 'is not an option');
  const { baseUrl, sign, appVersion, autoTrack, forward, onNeedPrivacyAuthorization } =
    options as ClientOptions;
  if (!isString(baseUrl) || !/^https?:\/\/[^/?#\s@]+$/.test(baseUrl)) {
    throw wrong('baseUrl', 'is not an origin such as https://wx.example.com, without a path');
  }
  if (sign !== undefined && typeof sign !== 'boolean') throw wrong('sign', 'is not a boolean');
  if (appVersion !== undefined && (!isString(appVersion) || appVersion.length > 32)) {
    throw wrong('appVersion', 'is not a text of at most 32 characters');
  }
  if (autoTrack !== undefined) {
    if (!isRecord(autoTrack)) throw wrong('autoTrack', 'is not an object');
    for (const name of Object.keys(autoTrack)) {
      if (EVENTS.indexOf(name) < 0) throw wrong(`autoTrack.${name}`, 'is not an event');
    }
  }
  if (forward !== undefined && !isRecord(forward)) throw wrong('forward', 'is not an object');
  if (onNeedPrivacyAuthorization !== undefined && typeof onNeedPrivacyAuthorization !== 'function') {
    throw wrong('onNeedPrivacyAuthorization', 'is not a function');
  }
  const host = (options as ClientOptions).host || globalHost();
  if (!host) throw wrong('host', 'is missing, and there is no global wx');
  return Object.assign({}, options as ClientOptions, { host });
}

function wrong(name: string, problem: string): AvalonError {
  return new AvalonError('ARGUMENT_INVALID', { message: `createClient: ${name} ${problem}` });
}
