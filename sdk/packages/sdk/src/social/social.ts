/** Shares, invitations and messages. Entries with an invitation, a group or a share are tracked without further code. */
import type { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import type { AppState } from '../base/lifecycle.js';
import { isRecord, isString } from '../base/store.js';
import type { Item } from '../api/types.js';
import type { Http } from '../http/http.js';
import { queryOf } from '../payments/payments.js';
import type { Entries, Entry } from './entries.js';
import { groupOf } from './groups.js';
import { Shares, track, type ShareCard, type ShareExtra } from './share.js';
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

/** Shares, invitations and messages. */
export interface Social {
  /** Opens the share picker; resolves with the card, undefined when the service could not be reached. */
  share(scene: string, extra?: ShareExtra): Promise<ShareCard | undefined>;
  /** Turns the share entry of WeChat's menu on. */
  enableShareMenu(scene: string, extra?: () => ShareExtra): void;
  /** Hears of every entry once, of the current one at once; not of the return from the share picker. */
  onEntry(listener: (entry: Entry) => void): () => void;
  /** The id of the group in which a card was opened. */
  group(entry: Entry): Promise<string>;
  invites(): Promise<Invites>;
  rewards(page?: {
    cursor?: string;
    limit?: number;
  }): Promise<{ rewards: Reward[]; nextCursor: string | null }>;
  /** Asks for the permission to send messages; call it from a tap. */
  subscribe(templateIds: string[]): Promise<{ [templateId: string]: SubscribeResult }>;
}

export interface SocialParts {
  readonly host: Host;
  readonly http: Http;
  readonly app: AppState;
  readonly entries: Entries;
  /** Resolves when the player is signed in, and signs in if necessary. */
  readonly signedIn: () => Promise<unknown>;
  readonly record: (params: { readonly [name: string]: unknown }) => void;
  readonly failed: (error: AvalonError) => void;
}

export function createSocial(parts: SocialParts): Social {
  const { host, http, entries, signedIn } = parts;
  const shares = new Shares(parts);
  entries.add((entry) => {
    if (entry.shareId !== undefined) track(http, entry.shareId, 'opened');
    if (entry.shareTicket !== undefined) groupOf(host, http, signedIn, entry).catch(parts.failed);
  });
  return {
    share: (scene, extra) => shares.share(scene, extra),
    enableShareMenu: (scene, extra) => shares.enableMenu(scene, extra),
    onEntry: (listener) => entries.add(listener),
    group: (entry) => groupOf(host, http, signedIn, entry),
    invites: () => http.call({ method: 'GET', path: '/api/wx/invites', read: readInvites }),
    rewards: (page = {}) =>
      http.call({ method: 'GET', path: `/api/wx/rewards${queryOf(page)}`, read: readRewards }),
    subscribe: (templateIds) => subscribe(host, http, templateIds),
  };
}

function readInvites(body: unknown): Invites | undefined {
  if (!isRecord(body) || !isString(body['inviteCode'])) return undefined;
  const list = (value: unknown): unknown[] => (Array.isArray(value) ? value.filter(isRecord) : []);
  return {
    inviteCode: body['inviteCode'],
    invited: list(body['invited']) as Invites['invited'],
    rewards: list(body['rewards']) as unknown as Reward[],
  };
}

function readRewards(body: unknown): { rewards: Reward[]; nextCursor: string | null } | undefined {
  if (!isRecord(body) || !Array.isArray(body['rewards'])) return undefined;
  const cursor = body['nextCursor'];
  return {
    rewards: body['rewards'].filter(isRecord) as unknown as Reward[],
    nextCursor: isString(cursor) ? cursor : null,
  };
}
