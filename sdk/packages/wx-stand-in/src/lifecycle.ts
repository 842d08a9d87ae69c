/**
 * The life of one running game: foreground, background, and the kill. Timers and callbacks of a game that has been in
 * the background for five seconds wait until it returns; those of a killed game never run.
 */
import type { Clock, TimerId } from './clock.js';

/** How the game was entered. */
export interface Entry {
  readonly scene: number;
  readonly query: { readonly [key: string]: string };
  readonly shareTicket?: string;
  readonly referrerInfo?: { readonly appId: string; readonly extraData: object };
  readonly chatType?: number;
}

/** What listeners of `onHide` receive, by WeChat's typings. */
export interface HideResult {
  readonly errMsg: string;
}

/** Time in the background after which JavaScript is suspended. */
export const SUSPENDED_AFTER_MS = 5000;

/**
 * Time after `onHide` in which new requests are still accepted. WeChat documents that requests in the background fail,
 * not from which moment on; what listeners of `onHide` send gets through.
 */
export const HIDE_GRACE_MS = 100;

/** The life of one run of the game. */
export class Lifecycle {
  readonly launch: Entry;
  /** The latest entry, cold or hot. */
  entry: Entry;
  private alive = true;
  private front = true;
  private suspended = false;
  private hiddenAt = 0;
  private suspension: TimerId | undefined;
  private waiting: (() => void)[] = [];
  private readonly timers = new Set<TimerId>();
  private readonly shown = new Set<(entry: Entry) => void>();
  private readonly hidden = new Set<(result: HideResult) => void>();
  private readonly closing = new Set<() => void>();

  constructor(
    private readonly clock: Clock,
    entry: Entry,
  ) {
    this.launch = entry;
    this.entry = entry;
  }

  get killed(): boolean {
    return !this.alive;
  }

  get inForeground(): boolean {
    return this.alive && this.front;
  }

  /** Whether a new request is accepted. */
  get mayRequest(): boolean {
    return this.alive && (this.front || this.clock.now() - this.hiddenAt < HIDE_GRACE_MS);
  }

  /** Runs a callback into the game, at once or when the game is no longer suspended. */
  deliver(run: () => void): void {
    if (!this.alive) return;
    if (this.suspended) this.waiting.push(run);
    else run();
  }

  background(): void {
    if (!this.inForeground) return;
    this.front = false;
    this.hiddenAt = this.clock.now();
    this.suspension = this.clock.setTimeout(() => {
      this.suspended = true;
    }, SUSPENDED_AFTER_MS);
    for (const listener of Array.from(this.hidden)) if (this.alive) listener({ errMsg: 'onHide:ok' });
  }

  /** Returns to the foreground; without an entry the previous one is repeated, as after the share picker. */
  foreground(entry: Entry = this.entry): void {
    if (!this.alive || this.front) return;
    if (this.suspension !== undefined) this.clock.clearTimeout(this.suspension);
    this.front = true;
    this.suspended = false;
    this.entry = entry;
    for (const listener of Array.from(this.shown)) if (this.alive) listener(entry);
    for (const run of this.waiting.splice(0)) if (this.alive) run();
  }

  /** Ends the game at once: nothing of it runs afterwards. */
  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const id of Array.from(this.timers)) this.clock.clearTimeout(id);
    if (this.suspension !== undefined) this.clock.clearTimeout(this.suspension);
    this.waiting = [];
    for (const close of Array.from(this.closing)) close();
  }

  /** Throws when the game is dead, so that code which still runs after a kill has no effect. */
  assertAlive(): void {
    if (!this.alive) throw new Error('The game was killed.');
  }

  onShow(listener: (entry: Entry) => void): void {
    this.shown.add(listener);
  }

  offShow(listener?: (entry: Entry) => void): void {
    if (listener) this.shown.delete(listener);
    else this.shown.clear();
  }

  onHide(listener: (result: HideResult) => void): void {
    this.hidden.add(listener);
  }

  offHide(listener?: (result: HideResult) => void): void {
    if (listener) this.hidden.delete(listener);
    else this.hidden.clear();
  }

  /** Calls `close` when the game is killed. */
  onKill(close: () => void): void {
    this.closing.add(close);
  }

  setTimeout(callback: () => void, delay: number): TimerId {
    if (!this.alive) return 0;
    const id = this.clock.setTimeout(() => {
      this.timers.delete(id);
      this.deliver(callback);
    }, delay);
    this.timers.add(id);
    return id;
  }

  clearTimeout(id: TimerId): void {
    this.timers.delete(id);
    this.clock.clearTimeout(id);
  }
}
