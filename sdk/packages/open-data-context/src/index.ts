/**
 * Friends and group rankings for the open data context. Put `require('./open-data-context.js').start()` into its `index.js`; the
 * game shows and hides the ranking with `client.friends` of `@avalon-wx/sdk`.
 *
 * @packageDocumentation
 */
import { parseMessage } from './protocol.js';
import { View } from './view.js';
import { globalHost, type ContextHost } from './wx.js';

/** Starts to listen for messages of the game. Call it once. */
export function start(host: ContextHost = globalHost()): void {
  const view = new View(host);
  host.wx.onMessage((value) => {
    const message = parseMessage(value);
    if (message && message.type === 'show') view.show(message);
    else if (message) view.hide();
  });
}

export { PROTOCOL, type HideMessage, type Message, type ShowMessage } from './protocol.js';
export type {
  Callbacks,
  Context2d,
  ContextHost,
  ContextImage,
  ContextWx,
  FriendData,
  SelfData,
  Touch,
  TouchEvent,
} from './wx.js';
export type { Theme } from './theme.js';
