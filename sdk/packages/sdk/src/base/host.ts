/** The runtime that the SDK works in: by default the globals of the mini-game, in tests a stand-in. */
import type { WxLike } from './wx.js';

/** The globals that the SDK uses. */
export interface Host {
  readonly wx: WxLike;
  /** Holds the one instance of the client: `GameGlobal` in a mini-game. */
  readonly global: object;
  setTimeout(callback: () => void, delay: number): unknown;
  clearTimeout(id: unknown): void;
  /** Unix time in milliseconds, by the phone's clock. */
  now(): number;
}

declare const wx: unknown;
declare const GameGlobal: unknown;
declare function setTimeout(callback: () => void, delay: number): unknown;
declare function clearTimeout(id: unknown): void;

/** Returns the globals of the mini-game; undefined outside one. */
export function globalHost(): Host | undefined {
  if (typeof wx !== 'object' || wx === null) return undefined;
  return {
    wx: wx as WxLike,
    global: gameGlobal(),
    setTimeout: (callback, delay) => setTimeout(callback, delay),
    clearTimeout: (id) => clearTimeout(id),
    now: () => Date.now(),
  };
}

/** Returns the object that holds the globals of the mini-game, or an object of its own outside one. */
export function gameGlobal(): object {
  return (typeof GameGlobal === 'object' && GameGlobal) || {};
}
