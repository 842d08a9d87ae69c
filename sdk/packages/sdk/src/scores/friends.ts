/**
 * The ranking of friends or of a group, drawn by the open data context. The game sees its canvas and never its data.
 * The context has to be `@avalon-wx/open-data-context`, or one that understands its messages.
 */
import { AvalonError } from '../base/errors.js';
import { isFunction } from '../base/values.js';
import type { WxOpenDataContext } from '../base/wx.js';
import { part } from '../core.js';
import { isAtLeast } from '../device.js';
import { FRIENDS_PROTOCOL, type FriendsMessage } from './friends-protocol.js';

/** A rectangle on the screen, in CSS pixels. */
export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface RankingOptions {
  /** Key of the value at WeChat: the board's `hostedKey`. */
  readonly key: string;
  readonly order?: 'desc' | 'asc';
  /** Shows only values written since; for weekly rankings. */
  readonly since?: Date;
  readonly theme?: 'light' | 'dark' | { readonly [color: string]: string };
  readonly title?: string;
  readonly unit?: string;
  /** The player's own score, which WeChat may not have yet. */
  readonly own?: number;
  /** `screenCanvas` where WeChat composites the ranking itself; fixed by the first call. */
  readonly mode?: 'offscreenCanvas' | 'screenCanvas';
}

/** Friends and group rankings. */
export interface Friends {
  /**
   * Shows the ranking; returns the canvas, which the game draws in `offscreenCanvas` mode. Throws `UNSUPPORTED` where
   * WeChat has no open data context.
   */
  show(rect: Rect, options: RankingOptions): { readonly canvas: object; readonly mode: string };
  /** The same among the members of a group, from the entry's `shareTicket` or the id of the group. */
  group(
    rect: Rect,
    options: RankingOptions & { readonly shareTicket?: string; readonly groupId?: string },
  ): { readonly canvas: object; readonly mode: string };
  hide(): void;
}

/** `screenCanvas` exists from this base library on. */
const SCREEN_CANVAS = '3.6.6';
const MAX_PIXEL_RATIO = 3;

/** Part: rankings of friends and groups. */
export const friends = part(({ host: { wx }, device }): { readonly friends: Friends } => {
  let context: WxOpenDataContext | undefined;
  let mode = 'offscreenCanvas';
  const post = (message: FriendsMessage): void =>
    (context as WxOpenDataContext).postMessage(message as { [name: string]: unknown } & FriendsMessage);
  const show = (
    { x, y, width, height }: Rect,
    options: RankingOptions,
    kind: 'friends' | 'group',
    { shareTicket = '', groupId = '' }: { shareTicket?: string; groupId?: string },
  ): { canvas: object; mode: string } => {
    if (!context) {
      if (!isFunction(wx.getOpenDataContext)) throw new AvalonError('UNSUPPORTED');
      if (options.mode === 'screenCanvas' && isAtLeast(device.baseLibrary, SCREEN_CANVAS))
        mode = 'screenCanvas';
      context = wx.getOpenDataContext({ sharedCanvasMode: mode });
    }
    const { key, theme, order = 'desc', since, unit = '', title = '', own = '' } = options;
    const { canvas } = context;
    const pixelRatio = Math.min(MAX_PIXEL_RATIO, device.pixelRatio);
    const wide = Math.round(width * pixelRatio);
    const high = Math.round(height * pixelRatio);
    // Setting a size clears the canvas, also to the same one.
    if (canvas.width !== wide) canvas.width = wide;
    if (canvas.height !== high) canvas.height = high;
    if (mode === 'screenCanvas')
      canvas.style = { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` };
    post({
      avalon: FRIENDS_PROTOCOL,
      type: 'show',
      kind,
      key,
      x,
      y,
      width,
      height,
      pixelRatio,
      theme: theme === 'dark' ? theme : 'light',
      colors: typeof theme === 'object' ? JSON.stringify(theme) : '',
      order,
      since: since ? Math.floor(since.getTime() / 1000) : 0,
      unit,
      title,
      own,
      language: device.language,
      shareTicket,
      groupId,
    });
    return { canvas, mode };
  };
  return {
    friends: {
      show: (rect, options) => show(rect, options, 'friends', {}),
      group: (rect, options) => show(rect, options, 'group', options),
      hide() {
        if (context) post({ avalon: FRIENDS_PROTOCOL, type: 'hide' });
      },
    },
  };
});
