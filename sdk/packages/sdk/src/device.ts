/** Facts about the phone, from whichever calls its base library has. */
import type { Host } from './base/host.js';
import { attempt, isRecord, text } from './base/values.js';

export interface Device {
  /** As WeChat names it: `ios`, `android`, `ohos`, `windows`, `mac`, `devtools`; `unknown` when it does not. */
  readonly platform: string;
  /** Operating system and version, such as `iOS 17.0`. */
  readonly system: string;
  readonly baseLibrary: string;
  readonly envVersion: string;
  /** Version of the game, in releases. */
  readonly appVersion: string;
  readonly pixelRatio: number;
  /** Language of WeChat, such as `zh_CN`. */
  readonly language: string;
  /** What the launch event reports. */
  readonly facts: { readonly [name: string]: string };
}

/** Reads the facts; a call that is missing, fails or returns nonsense leaves them unknown. */
export function readDevice({ wx }: Host): Device {
  const ask = (name: Call): { readonly [name: string]: unknown } => {
    const result = attempt(() => (wx[name] as () => unknown)());
    return isRecord(result) ? result : {};
  };
  const newer = { ...ask('getDeviceInfo'), ...ask('getAppBaseInfo'), ...ask('getWindowInfo') };
  const facts: { readonly [name: string]: unknown } = 'platform' in newer ? newer : ask('getSystemInfoSync');
  const fact = (name: string): string => text(facts[name]) || '';
  const account = ask('getAccountInfoSync')['miniProgram'];
  const program = isRecord(account) ? account : {};
  const platform = fact('platform') || 'unknown';
  const system = fact('system');
  const baseLibrary = fact('SDKVersion');
  return {
    platform,
    system,
    baseLibrary,
    // Unknown before base library 2.11.2; nearly every player has a release.
    envVersion: String(program['envVersion'] || 'release'),
    appVersion: String(program['version'] || ''),
    pixelRatio: Number(facts['pixelRatio']) || 1,
    language: fact('language') || 'zh_CN',
    facts: {
      platform,
      brand: fact('brand'),
      model: fact('model'),
      system,
      wechat: fact('version'),
      baseLibrary,
    },
  };
}

type Call = 'getDeviceInfo' | 'getAppBaseInfo' | 'getWindowInfo' | 'getSystemInfoSync' | 'getAccountInfoSync';

/** Whether a dotted version is this one or a newer one. */
export function isAtLeast(version: string, floor: string): boolean {
  const parts = version.split('.');
  let difference = 0;
  floor.split('.').forEach((digits, index) => {
    difference = difference || (Number(parts[index]) || 0) - Number(digits);
  });
  return difference >= 0;
}
