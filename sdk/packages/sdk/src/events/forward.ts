/** Passes events on to WeChat's own reporting and to Aladdin, if the game wants that and they are there. */
import { isFunction } from '../base/values.js';
import type { Core } from '../core.js';
import type { EventParams } from './properties.js';

/** Systems that receive every event as well. */
export interface Forwarding {
  /** `wx.reportEvent`: returns the id that was defined in WeChat's console, or undefined. */
  readonly wechat?: (name: string) => string | undefined;
  /** `wx.aldSendEvent` of the Aladdin SDK. */
  readonly aladdin?: boolean;
}

/** Aladdin ignores parameters from this number of characters of JSON on. */
const MAX_ALADDIN = 255;

export function forward({ host: { wx }, options }: Core, name: string, params: EventParams): void {
  const { wechat, aladdin } = options.forward || ({} as Forwarding);
  const id = wechat && wechat(name);
  if (id !== undefined && isFunction(wx.reportEvent)) wx.reportEvent(id, params);
  if (aladdin && isFunction(wx.aldSendEvent)) {
    wx.aldSendEvent(name, JSON.stringify(params).length < MAX_ALADDIN ? params : {});
  }
}
