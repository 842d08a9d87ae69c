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

/** The condition of each option that is given, and what is wrong otherwise. */
const RULES: { readonly [name: string]: readonly [valid: (value: unknown) => boolean, problem: string] } = {
  baseUrl: [
    (value) => isString(value) && /^https?:\/\/[^/?#\s@]+$/.test(value),
    'is not an origin such as https://wx.example.com, without a path',
  ],
  sign: [(value) => typeof value === 'boolean', 'is not a boolean'],
  appVersion: [(value) => isString(value) && value.length <= 32, 'is not a text of at most 32 characters'],
  autoTrack: [isRecord, 'is not an object'],
  forward: [isRecord, 'is not an object'],
  onNeedPrivacyAuthorization: [(value) => typeof value === 'function', 'is not a function'],
  host: [isRecord, 'is not an object'],
};
const EVENTS = ['launch', 'show', 'hide', 'error', 'network', 'client'];

/** Checks the options; returns them with the host. */
export function checkOptions(options: ClientOptions): ClientOptions & { readonly host: Host } {
  if (!isRecord(options)) throw wrong('options', 'are not an object');
  for (const name of Object.keys(Object.assign({ baseUrl: 0 }, options))) {
    const rule = RULES[name];
    const value = (options as { readonly [name: string]: unknown })[name];
    if (!rule) throw wrong(name, 'is not an option');
    if ((value !== undefined || name === 'baseUrl') && !rule[0](value)) throw wrong(name, rule[1]);
  }
  for (const name of Object.keys(options.autoTrack || {})) {
    if (EVENTS.indexOf(name) < 0) throw wrong(`autoTrack.${name}`, 'is not an event');
  }
  const host = options.host || globalHost();
  if (!host) throw wrong('host', 'is missing, and there is no global wx');
  return Object.assign({}, options, { host });
}

function wrong(name: string, problem: string): AvalonError {
  return new AvalonError('ARGUMENT_INVALID', { message: `createClient: ${name} ${problem}` });
}
