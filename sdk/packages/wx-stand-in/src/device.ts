/** What the game can learn about the phone: device, window, app and account. */
import type { PhoneSettings } from './phone.js';

export interface DeviceInfo {
  readonly platform: string;
  readonly brand: string;
  readonly model: string;
  readonly system: string;
  readonly memorySize: string;
}

export interface WindowInfo {
  readonly pixelRatio: number;
  readonly windowWidth: number;
  readonly windowHeight: number;
  readonly screenWidth: number;
  readonly screenHeight: number;
}

export interface AppBaseInfo {
  readonly SDKVersion: string;
  readonly version: string;
  readonly language: string;
}

export interface AccountInfo {
  readonly miniProgram: { readonly appId: string; readonly envVersion: string; readonly version: string };
}

export function deviceInfo(phone: PhoneSettings): DeviceInfo {
  const apple = phone.platform === 'ios' || phone.platform === 'mac';
  return {
    platform: phone.platform,
    brand: apple ? 'Apple' : 'stand-in',
    model: apple ? 'iPhone 15' : 'Stand-in 1',
    system: phone.system,
    memorySize: '8192',
  };
}

export function windowInfo(phone: PhoneSettings): WindowInfo {
  const { width, height, pixelRatio } = phone.screen;
  return { pixelRatio, windowWidth: width, windowHeight: height, screenWidth: width, screenHeight: height };
}

export function appBaseInfo(phone: PhoneSettings): AppBaseInfo {
  return { SDKVersion: phone.baseLibrary, version: phone.clientVersion, language: phone.language };
}

export function accountInfo(phone: PhoneSettings): AccountInfo {
  const version = phone.envVersion === 'release' ? '1.0.0' : '';
  return { miniProgram: { appId: phone.appId, envVersion: phone.envVersion, version } };
}

/** `getSystemInfoSync`, which has all of it and, undocumented, `devicePixelRatio`. */
export function systemInfo(
  phone: PhoneSettings,
): DeviceInfo & WindowInfo & AppBaseInfo & { devicePixelRatio: number } {
  return Object.assign(
    { devicePixelRatio: phone.screen.pixelRatio },
    deviceInfo(phone),
    windowInfo(phone),
    appBaseInfo(phone),
  );
}
