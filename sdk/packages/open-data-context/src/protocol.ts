/**
 * Messages from the game. One way, primitives only. `@avalon-wx/sdk` sends them; a test compares the types. A message of
 * another version, or of something else in the game, is ignored.
 */
export const PROTOCOL = 1;

/** Shows a ranking. Distances are CSS pixels of the screen. */
export interface ShowMessage {
  readonly avalon: 1;
  readonly type: 'show';
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
  /** The player's own score, which WeChat may not have yet. */
  readonly own: number | '';
  readonly language: string;
  readonly shareTicket: string;
  readonly groupId: string;
}

/** Clears the canvas and stops. */
export interface HideMessage {
  readonly avalon: 1;
  readonly type: 'hide';
}

export type Message = ShowMessage | HideMessage;

const NUMBERS = ['x', 'y', 'width', 'height', 'pixelRatio', 'since'];
const TEXTS = ['key', 'colors', 'unit', 'title', 'language', 'shareTicket', 'groupId'];

/** Returns the message, undefined for anything that is not one of this version. */
export function parseMessage(value: unknown): Message | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = value as { readonly [name: string]: unknown };
  if (fields['avalon'] !== PROTOCOL) return undefined;
  if (fields['type'] === 'hide') return value as HideMessage;
  const complete =
    fields['type'] === 'show' &&
    NUMBERS.every((name) => typeof fields[name] === 'number' && isFinite(fields[name] as number)) &&
    TEXTS.every((name) => typeof fields[name] === 'string') &&
    (fields['width'] as number) > 0 &&
    (fields['height'] as number) > 0;
  return complete ? (value as ShowMessage) : undefined;
}
