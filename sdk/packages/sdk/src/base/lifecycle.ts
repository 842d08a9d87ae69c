/** Foreground, background and network of the game, as one source for all parts of the SDK. */
import { isFunction } from './store.js';
import { Emitter } from './emitter.js';
import type { Host } from './host.js';
import type { WxEntry } from './wx.js';

/** Follows `onShow`, `onHide` and the network. Removes no listener of the game. */
export class AppState {
  readonly shown = new Emitter<WxEntry>();
  readonly hidden = new Emitter<void>();
  readonly online = new Emitter<void>();
  readonly networkChanged = new Emitter<string>();
  foreground = true;
  connected = true;
  networkType = 'unknown';

  constructor(host: Host) {
    const { wx } = host;
    wx.onShow((entry) => {
      this.foreground = true;
      this.shown.emit(entry);
    });
    wx.onHide(() => {
      this.foreground = false;
      this.hidden.emit();
    });
    if (isFunction(wx.onNetworkStatusChange)) {
      wx.onNetworkStatusChange(({ isConnected, networkType }) => {
        const returned = isConnected && !this.connected;
        this.connected = isConnected;
        if (networkType !== this.networkType) {
          this.networkType = networkType;
          this.networkChanged.emit(networkType);
        }
        if (returned) this.online.emit();
      });
    }
  }
}
