/** Shares, invitations and messages. Entries with an invitation, a group or a share are tracked without further code. */
import type { Cancellable } from '../base/cancel.js';
import { whole } from '../api/read.js';
import type { Item } from '../api/types.js';
import { ignore } from '../base/values.js';
import { part } from '../core.js';
import { queryOf } from '../http/query.js';
import type { Entry } from './entries.js';
import { groupOf } from './groups.js';
import { createShares, track, type ShareCard, type ShareExtra } from './share.js';
import { subscribe, type SubscribeResult } from './subscribe.js';

/** A reward that the player received. Times are ISO 8601. */
export interface Reward {
  readonly source: string;
  readonly items: readonly Item[];
  readonly at: string;
}

export interface Invites {
  readonly inviteCode: string;
  readonly invited: readonly { readonly state: string; readonly at: string }[];
  readonly rewards: readonly Reward[];
}

export interface RewardPage {
  readonly rewards: readonly Reward[];
  readonly nextCursor: string | null;
}

/** Shares, invitations and messages. */
export interface Social {
  /** Opens the share picker; resolves with the card, undefined when the service could not be reached. */
  share(scene: string, extra?: ShareExtra, options?: Cancellable): Promise<ShareCard | undefined>;
  /** Turns the share entry of WeChat's menu on. */
  enableShareMenu(scene: string, extra?: () => ShareExtra): void;
  /** Hears of every entry once, of the current one at once; not of the return from the share picker. */
  onEntry(listener: (entry: Entry) => void): () => void;
  /** The id of the group in which a card was opened. */
  group(entry: Entry, options?: Cancellable): Promise<string>;
  invites(options?: Cancellable): Promise<Invites>;
  rewards(page?: Cancellable & { readonly cursor?: string; readonly limit?: number }): Promise<RewardPage>;
  /** Asks for the permission to send messages; call it from a tap. */
  subscribe(templateIds: string[]): Promise<{ [templateId: string]: SubscribeResult }>;
}

/** Part: shares, invitations, entries and subscribe messages. */
export const social = part((core): { readonly social: Social } => {
  const { http, entries } = core;
  const { open, enableMenu } = createShares(core);
  entries.listen((entry) => {
    if (entry.shareId !== undefined) track(http, entry.shareId, 'opened');
    // Without the group the share still counts.
    if (entry.shareTicket !== undefined) ignore(groupOf(core, entry));
  });
  return {
    social: {
      share: open,
      enableShareMenu: enableMenu,
      onEntry: entries.listen,
      group: (entry, options) => groupOf(core, entry, options),
      invites: (options) => http.load('invites', whole<Invites>('inviteCode', 'invited'), options),
      rewards: (page = {}) =>
        http.load(`rewards${queryOf(page)}`, whole<RewardPage>('', 'rewards'), { cancel: page.cancel }),
      subscribe: (templateIds) => subscribe(core, templateIds),
    },
  };
});
