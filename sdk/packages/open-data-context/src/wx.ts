/** The part of the open data context's runtime that the ranking uses. */

export interface Callbacks<R> {
  success?: (result: R) => void;
  fail?: (failure: { errMsg?: string; errno?: number }) => void;
}

/** A player as WeChat describes them to the context. */
export interface FriendData {
  readonly openid?: string;
  readonly nickname?: string;
  readonly avatarUrl?: string;
  readonly KVDataList?: readonly { readonly key: string; readonly value: string }[];
}

export interface SelfData {
  readonly openId?: string;
  readonly nickName?: string;
  readonly avatarUrl?: string;
}

export interface Touch {
  readonly identifier: number;
  readonly pageX: number;
  readonly pageY: number;
}

export interface TouchEvent {
  readonly touches: readonly Touch[];
  readonly changedTouches: readonly Touch[];
  readonly timeStamp: number;
}

export interface ContextImage {
  src: string;
  onload: (() => void) | null;
  onerror: (() => void) | null;
  readonly width: number;
  readonly height: number;
}

/** The drawing functions that work on every phone; several others give wrong results silently. */
export interface Context2d {
  fillStyle: unknown;
  font: string;
  globalAlpha: number;
  textAlign: string;
  textBaseline: string;
  save(): void;
  restore(): void;
  beginPath(): void;
  closePath(): void;
  rect(x: number, y: number, width: number, height: number): void;
  arc(x: number, y: number, radius: number, start: number, end: number): void;
  clip(): void;
  fill(): void;
  fillRect(x: number, y: number, width: number, height: number): void;
  clearRect(x: number, y: number, width: number, height: number): void;
  fillText(text: string, x: number, y: number): void;
  measureText(text: string): { readonly width: number };
  drawImage(image: ContextImage, x: number, y: number, width: number, height: number): void;
  setTransform(a: number, b: number, c: number, d: number, e: number, f: number): void;
}

export interface ContextWx {
  getSharedCanvas(): { readonly width: number; readonly height: number; getContext(type: '2d'): unknown };
  onMessage(listener: (message: unknown) => void): void;
  createImage(): unknown;
  onTouchStart(listener: (event: TouchEvent) => void): void;
  onTouchMove(listener: (event: TouchEvent) => void): void;
  onTouchEnd(listener: (event: TouchEvent) => void): void;
  onTouchCancel(listener: (event: TouchEvent) => void): void;
  getUserInfo?(
    options: Callbacks<{ data?: readonly SelfData[] }> & { openIdList: string[]; lang?: string },
  ): void;
  getFriendCloudStorage?(options: Callbacks<{ data?: readonly FriendData[] }> & { keyList: string[] }): void;
  getGroupCloudStorage?(
    options: Callbacks<{ data?: readonly FriendData[] }> & {
      keyList: string[];
      shareTicket?: string;
      groupid?: string;
    },
  ): void;
}

/** What the ranking runs in; by default the globals of the open data context. */
export interface ContextHost {
  readonly wx: ContextWx;
  requestFrame(callback: () => void): void;
  /** Milliseconds, for speeds. */
  now(): number;
}

declare const wx: ContextWx;
declare const requestAnimationFrame: unknown;
declare function setTimeout(callback: () => void, delay: number): unknown;

const FRAME_MS = 16;

/** Returns the globals. */
export function globalHost(): ContextHost {
  return {
    wx,
    requestFrame:
      typeof requestAnimationFrame === 'function'
        ? (callback) => (requestAnimationFrame as (callback: () => void) => void)(callback)
        : (callback) => setTimeout(callback, FRAME_MS),
    now: () => Date.now(),
  };
}
