/**
 * Entries: how the player came into the game, cold or hot, each reported once. Returning from the share picker repeats
 * the previous entry and is no entry.
 */
import { Emitter } from '../base/emitter.js';
import { defined } from '../base/store.js';
import type { Host } from '../base/host.js';
import type { AppState } from '../base/lifecycle.js';
import type { WxEntry } from '../base/wx.js';
import { INVITE_CODE, SHARE_ID, token } from './queries.js';

/** How the player came in. */
export interface Entry {
  readonly scene: number;
  readonly query: { readonly [key: string]: string | undefined };
  readonly cold: boolean;
  /** The share that led here. */
  readonly shareId?: string;
  /** The inviter's code. */
  readonly inviteCode?: string;
  /** Present when a card was opened in a group. */
  readonly shareTicket?: string;
}

export class Entries {
  /** The latest entry. */
  current: Entry;
  private readonly emitter = new Emitter<Entry>();
  private picking = false;
  private signature: string;
  private launched = false;

  constructor(host: Host, app: AppState) {
    const launch = host.wx.getLaunchOptionsSync();
    this.current = read(launch, true);
    this.signature = signatureOf(launch);
    let hidden = false;
    app.hidden.add(() => {
      hidden = true;
    });
    app.shown.add((entry) => {
      // Some versions of WeChat call `onShow` for the start as well.
      const start = !hidden && signatureOf(entry) === this.signature;
      hidden = false;
      this.show(entry, start);
    });
  }

  /** Hears of every entry; of the current one at once. */
  add(listener: (entry: Entry) => void): () => void {
    const stop = this.emitter.add(listener);
    if (this.launched) listener(this.current);
    return stop;
  }

  /** Reports the start of the game. */
  launch(): void {
    this.launched = true;
    this.emitter.emit(this.current);
  }

  /** The share picker opens: the next `onShow` with the same data is the return from it. */
  picker(): void {
    this.picking = true;
  }

  private show(entry: WxEntry, start: boolean): void {
    const signature = signatureOf(entry);
    const returned = this.picking && signature === this.signature;
    this.picking = false;
    if (returned || start) return;
    this.signature = signature;
    this.current = read(entry, false);
    this.emitter.emit(this.current);
  }
}

function read(entry: WxEntry, cold: boolean): Entry {
  const query = entry.query || {};
  return defined({
    scene: Number(entry.scene) || 0,
    query,
    cold,
    shareId: token(query, SHARE_ID),
    inviteCode: token(query, INVITE_CODE),
    shareTicket: entry.shareTicket || undefined,
  });
}

function signatureOf(entry: WxEntry): string {
  return JSON.stringify([entry.scene, entry.query || {}, entry.shareTicket || '']);
}
