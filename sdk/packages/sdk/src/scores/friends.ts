/**
 * The ranking of friends or of a group, drawn by the open data context. The game sees its canvas and never its data.
 * The context has to be `@avalon-wx/open-data-context`, or one that understands its messages.
 */
import { isFunction } from '../base/store.js';
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import type { WxOpenDataContext } from '../base/wx.js';
import { compareVersions, type Device } from '../device.js';
import { FRIENDS_PROTOCOL, type FriendsMessage, type ShowMessage } from './friends-protocol.js';

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

export function createFriends({ wx }: Host, device: Device): Friends {
  let context: WxOpenDataContext | undefined;
  let mode = 'offscreenCanvas';
  const open = (wanted: string | undefined): WxOpenDataContext => {
    if (context) return context;
    if (!isFunction(wx.getOpenDataContext)) throw new AvalonError('UNSUPPORTED');
    if (wanted === 'screenCanvas' && compareVersions(device.baseLibrary, SCREEN_CANVAS) >= 0)
      mode = 'screenCanvas';
    context = wx.getOpenDataContext({ sharedCanvasMode: mode });
    return context;
  };
  const post = (target: WxOpenDataContext, message: FriendsMessage): void =>
    target.postMessage({ ...message });
  const show = (
    rect: Rect,
    options: RankingOptions,
    kind: 'friends' | 'group',
    from: { shareTicket?: string; groupId?: string },
  ): { canvas: object; mode: string } => {
    const target = open(options.mode);
    const pixelRatio = Math.min(MAX_PIXEL_RATIO, device.pixelRatio);
    const width = Math.round(rect.width * pixelRatio);
    const height = Math.round(rect.height * pixelRatio);
    // Setting a size clears the canvas, also to the same one.
    if (target.canvas.width !== width) target.canvas.width = width;
    if (target.canvas.height !== height) target.canvas.height = height;
    if (mode === 'screenCanvas') place(target, rect);
    post(target, message(rect, options, kind, from, { pixelRatio, language: device.language }));
    return { canvas: target.canvas, mode };
  };
  return {
    show: (rect, options) => show(rect, options, 'friends', {}),
    group: (rect, options) => show(rect, options, 'group', options),
    hide: () => {
      if (context) post(context, { avalon: FRIENDS_PROTOCOL, type: 'hide' });
    },
  };
}

function place(target: WxOpenDataContext, { x, y, width, height }: Rect): void {
  target.canvas.style = { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` };
}

function message(
  { x, y, width, height }: Rect,
  { key, theme, order = 'desc', since, unit = '', title = '', own }: RankingOptions,
  kind: 'friends' | 'group',
  { shareTicket = '', groupId = '' }: { shareTicket?: string; groupId?: string },
  { pixelRatio, language }: { pixelRatio: number; language: string },
): ShowMessage {
  return {
    avalon: FRIENDS_PROTOCOL,
    type: 'show',
    kind,
    key,
    x,
    y,
    width,
    height,
    pixelRatio,
    theme: theme === 'dark' ? 'dark' : 'light',
    colors: typeof theme === 'object' ? JSON.stringify(theme) : '',
    order,
    since: since ? Math.floor(since.getTime() / 1000) : 0,
    unit,
    title,
    own: own === undefined ? '' : own,
    language,
    shareTicket,
    groupId,
  };
}
