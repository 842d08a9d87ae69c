/** Passes events on to WeChat's own reporting and to Aladdin, if the game wants that and they are there. */
import { isFunction } from '../base/store.js';
import type { Host } from '../base/host.js';
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

export function createForward(
  { wx }: Host,
  forwarding: Forwarding,
): (name: string, params: EventParams) => void {
  return (name, params) => {
    const id = forwarding.wechat && forwarding.wechat(name);
    if (id !== undefined && isFunction(wx.reportEvent)) wx.reportEvent(id, params);
    if (forwarding.aladdin && isFunction(wx.aldSendEvent)) {
      wx.aldSendEvent(name, JSON.stringify(params).length < MAX_ALADDIN ? params : {});
    }
  };
}
