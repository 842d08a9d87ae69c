/**
 * Messages from the game to its open data context. One way, primitives only. `@avalon-wx/open-data-context` has the
 * same types, compared by a test; a context ignores versions that it does not know.
 */
export const FRIENDS_PROTOCOL = 1;

/** Where the ranking is on the screen, in CSS pixels, and how it looks. */
export interface ShowMessage {
  readonly avalon: 1;
  readonly type: 'show';
  /** `friends`, or `group` with `shareTicket` or `groupId`. */
  readonly kind: 'friends' | 'group';
  /** Key of the value at WeChat. */
  readonly key: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly pixelRatio: number;
  readonly theme: 'light' | 'dark';
  /** A theme object as JSON; empty for the named theme. */
  readonly colors: string;
  readonly order: 'desc' | 'asc';
  /** Unix seconds: values written earlier are not shown; 0 shows all. */
  readonly since: number;
  readonly unit: string;
  readonly title: string;
  /** The player's own score, which WeChat may not have yet; NaN travels as an empty text. */
  readonly own: number | '';
  readonly language: string;
  readonly shareTicket: string;
  readonly groupId: string;
}

export interface HideMessage {
  readonly avalon: 1;
  readonly type: 'hide';
}

export type FriendsMessage = ShowMessage | HideMessage;
