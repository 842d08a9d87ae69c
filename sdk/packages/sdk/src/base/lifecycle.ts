/** Foreground, background and network of the game, as one source for all parts of the SDK. */
import { emitter, type Emitter } from './emitter.js';
import type { Host } from './host.js';
import { isFunction } from './values.js';
import type { WxEntry } from './wx.js';

/** @internal */
export interface AppState {
  readonly returned: Emitter<WxEntry>;
  readonly hidden: Emitter<void>;
  /** The network returned. */
  readonly online: Emitter<void>;
  readonly networkChanged: Emitter<string>;
  foreground: boolean;
  connected: boolean;
}

/** Follows `onShow`, `onHide` and the network. Removes no listener of the game. */
export function followApp({ wx }: Host): AppState {
  const app: AppState = {
    returned: emitter(),
    hidden: emitter(),
    online: emitter(),
    networkChanged: emitter(),
    foreground: true,
    connected: true,
  };
  let known = 'unknown';
  wx.onShow((entry) => {
    app.foreground = true;
    app.returned.emit(entry);
  });
  wx.onHide(() => {
    app.foreground = false;
    app.hidden.emit();
  });
  if (isFunction(wx.onNetworkStatusChange)) {
    wx.onNetworkStatusChange(({ isConnected, networkType }) => {
      const isBack = isConnected && !app.connected;
      app.connected = isConnected;
      if (networkType !== known) app.networkChanged.emit((known = networkType));
      if (isBack) app.online.emit();
    });
  }
  return app;
}
