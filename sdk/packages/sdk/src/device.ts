/** Facts about the phone, from whichever calls its base library has. */
import type { Host } from './base/host.js';
import { isFunction, isRecord } from './base/store.js';

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

/** Reads the facts; a call that fails or returns nonsense leaves them unknown. */
export function readDevice({ wx }: Host): Device {
  const ask = (call: (() => object) | undefined): { readonly [name: string]: unknown } => {
    try {
      const result = isFunction(call) ? call.call(wx) : undefined;
      return isRecord(result) ? result : {};
    } catch {
      return {};
    }
  };
  const newer = Object.assign({}, ask(wx.getDeviceInfo), ask(wx.getAppBaseInfo), ask(wx.getWindowInfo));
  const facts = 'platform' in newer ? newer : ask(wx.getSystemInfoSync);
  const text = (name: string): string => (typeof facts[name] === 'string' ? (facts[name] as string) : '');
  const account = ask(wx.getAccountInfoSync)['miniProgram'];
  const program = isRecord(account) ? account : {};
  const platform = text('platform') || 'unknown';
  const pixelRatio = Number(facts['pixelRatio']) || 1;
  return {
    platform,
    system: text('system'),
    baseLibrary: text('SDKVersion'),
    // Unknown before base library 2.11.2; nearly every player has a release.
    envVersion: String(program['envVersion'] || 'release'),
    appVersion: String(program['version'] || ''),
    pixelRatio,
    language: text('language') || 'zh_CN',
    facts: {
      platform,
      brand: text('brand'),
      model: text('model'),
      system: text('system'),
      wechat: text('version'),
      baseLibrary: text('SDKVersion'),
    },
  };
}

/** Compares two dotted versions: negative when `a` is older. */
export function compareVersions(a: string, b: string): number {
  const left = a.split('.').map(Number);
  const right = b.split('.').map(Number);
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = (left[index] || 0) - (right[index] || 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
