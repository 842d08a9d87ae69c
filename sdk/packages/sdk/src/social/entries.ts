/**
 * Entries: how the player came into the game, cold or hot, each reported once. Returning from the share picker repeats
 * the previous entry and is no entry.
 */
import { emitter } from '../base/emitter.js';
import type { Host } from '../base/host.js';
import type { AppState } from '../base/lifecycle.js';
import { defined } from '../base/values.js';
import type { WxEntry } from '../base/wx.js';
import { token } from './queries.js';

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

/** @internal */
export interface Entries {
  latest(): Entry;
  /** Hears of every entry; of the current one at once. */
  listen(listener: (entry: Entry) => void): () => void;
  /** Reports the start of the game. */
  launch(): void;
  /** The share picker opens: the next `onShow` with the same data is the return from it. */
  pick(): void;
}

export function createEntries({ wx }: Host, app: AppState): Entries {
  const { listen, emit } = emitter<Entry>();
  const start = wx.getLaunchOptionsSync();
  let latest = read(start, true);
  let known = signatureOf(start);
  let picking = false;
  let launched = false;
  let hidden = false;
  app.hidden.listen(() => {
    hidden = true;
  });
  app.returned.listen((entry) => {
    const signature = signatureOf(entry);
    // The return from the picker; and some versions of WeChat call `onShow` for the start as well.
    const repeated = signature === known && (picking || !hidden);
    hidden = picking = false;
    if (repeated) return;
    known = signature;
    emit((latest = read(entry, false)));
  });
  return {
    latest: () => latest,
    listen(listener) {
      const stop = listen(listener);
      if (launched) listener(latest);
      return stop;
    },
    launch() {
      launched = true;
      emit(latest);
    },
    pick() {
      picking = true;
    },
  };
}

function read({ scene, query, shareTicket }: WxEntry, cold: boolean): Entry {
  return defined({
    scene: Number(scene) || 0,
    query: query || {},
    cold,
    shareId: token(query, 'shareId'),
    inviteCode: token(query, 'inviteCode'),
    shareTicket: shareTicket || undefined,
  });
}

function signatureOf({ scene, query, shareTicket }: WxEntry): string {
  return JSON.stringify([scene, query || {}, shareTicket || '']);
}
