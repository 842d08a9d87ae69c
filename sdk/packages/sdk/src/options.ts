/** Options of `createClient`. Wrong ones throw there, with the option's name. */
import { invalid, type AvalonError } from './base/errors.js';
import { globalHost, type Host } from './base/host.js';
import type { PrivacyListener } from './base/wx.js';
import type { AutoTrack } from './events/presets.js';
import type { Forwarding } from './events/forward.js';
import { isFunction, isRecord, isString } from './base/values.js';

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

/** The condition of each option that is given. */
const RULES: { readonly [name: string]: (value: unknown) => boolean } = {
  baseUrl: (value) => isString(value) && /^https?:\/\/[^/?#\s@]+$/.test(value),
  sign: (value) => typeof value === 'boolean',
  appVersion: (value) => isString(value) && value.length <= 32,
  autoTrack: isRecord,
  forward: isRecord,
  onNeedPrivacyAuthorization: isFunction,
  host: isRecord,
};
const EVENTS = ['launch', 'show', 'hide', 'error', 'network', 'client'];

/** Checks the options; returns them with the host. */
export function checkOptions(options: ClientOptions): ClientOptions & { readonly host: Host } {
  if (!isRecord(options)) throw wrong('options');
  for (const name of Object.keys(Object.assign({ baseUrl: 0 }, options))) {
    const rule = RULES[name];
    const value = (options as { readonly [name: string]: unknown })[name];
    if (!rule || ((value !== undefined || name === 'baseUrl') && !rule(value))) throw wrong(name);
  }
  for (const name of Object.keys(options.autoTrack || {})) {
    if (EVENTS.indexOf(name) < 0) throw wrong(`autoTrack.${name}`);
  }
  const host = options.host || globalHost();
  if (!host) throw wrong('host');
  return Object.assign({}, options, { host });
}

/** The name alone: what it may be is in the declarations, and texts are a part of every game's size. */
function wrong(name: string): AvalonError {
  return invalid(`createClient: ${name}`);
}
