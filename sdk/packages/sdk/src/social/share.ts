/**
 * Sharing: cards whose query leads the receiver back to the share, from code and from the menu. The menu has three
 * seconds, so a card is prepared for it; if none arrives in time, the game's own content is used.
 */
import type { Host } from '../base/host.js';
import type { AppState } from '../base/lifecycle.js';
import { isRecord, isString } from '../base/store.js';
import type { WxShareContent } from '../base/wx.js';
import type { Http } from '../http/http.js';
import type { Entries } from './entries.js';
import { joinQueries } from './queries.js';

/** A share that the service registered. */
export interface ShareCard {
  readonly shareId: string;
  readonly inviteCode: string;
  readonly query: string;
  readonly title: string;
  readonly imageUrl: string;
  readonly imageUrlId?: string;
}

/** What the game adds to a card; its title and picture win over the service's. */
export interface ShareExtra {
  readonly title?: string;
  readonly imageUrl?: string;
  readonly imageUrlId?: string;
  /** The game's own pairs, such as `level=3`. */
  readonly query?: string;
}

export interface ShareParts {
  readonly host: Host;
  readonly http: Http;
  readonly app: AppState;
  readonly entries: Entries;
  /** Records that a card was offered. */
  readonly record: (params: { readonly [name: string]: unknown }) => void;
}

const MENU_MS = 2500;

export class Shares {
  private menu: { scene: string; extra: () => ShareExtra } | undefined;
  private prepared: Promise<ShareCard> | undefined;

  constructor(private readonly parts: ShareParts) {}

  /** Opens the picker with a card of this scene; the picker opens even when the service cannot be reached. */
  async share(scene: string, extra: ShareExtra = {}): Promise<ShareCard | undefined> {
    let card: ShareCard | undefined;
    try {
      card = await this.create(scene, 'code');
    } catch {
      card = undefined;
    }
    this.parts.entries.picker();
    this.parts.host.wx.shareAppMessage(content(card, extra));
    this.shown(scene, 'code', card);
    return card;
  }

  /** Turns the menu's entry on. `extra` is asked for each time the player opens the menu. */
  enableMenu(scene: string, extra: () => ShareExtra = () => ({})): void {
    const { wx } = this.parts.host;
    const first = this.menu === undefined;
    this.menu = { scene, extra };
    this.prepare();
    if (typeof wx.showShareMenu === 'function') {
      wx.showShareMenu({ withShareTicket: true, menus: ['shareAppMessage', 'shareTimeline'] });
    }
    if (first) wx.onShareAppMessage(() => this.menuContent());
  }

  private menuContent(): WxShareContent & { promise?: Promise<WxShareContent> } {
    const menu = this.menu as { scene: string; extra: () => ShareExtra };
    const extra = menu.extra();
    const prepared = this.prepare();
    this.parts.entries.picker();
    const late = new Promise<undefined>((resolve) =>
      this.parts.host.setTimeout(() => resolve(undefined), MENU_MS),
    );
    const promise = Promise.race([prepared.catch(() => undefined), late]).then((card) => {
      this.prepared = undefined;
      this.shown(menu.scene, 'menu', card);
      this.prepare();
      return content(card, extra);
    });
    return Object.assign(content(undefined, extra), { promise });
  }

  /** Asks for the menu's next card ahead of time. */
  private prepare(): Promise<ShareCard> {
    if (!this.prepared) {
      const work = this.create((this.menu as { scene: string }).scene, 'menu');
      work.catch(() => {
        if (this.prepared === work) this.prepared = undefined;
      });
      this.prepared = work;
    }
    return this.prepared;
  }

  private create(scene: string, channel: string): Promise<ShareCard> {
    return this.parts.http.call({
      method: 'POST',
      path: '/api/wx/share',
      body: { scene, channel },
      read: readCard,
      priority: 'urgent',
      attempts: 2,
      timeout: MENU_MS,
    });
  }

  private shown(scene: string, channel: string, card: ShareCard | undefined): void {
    this.parts.record({ scene, channel, shareId: card && card.shareId });
    if (card) track(this.parts.http, card.shareId, 'shown');
  }
}

/** Reports what happened to a share. A failure concerns the statistics only. */
export function track(http: Http, shareId: string, event: 'shown' | 'opened'): void {
  http
    .call({ method: 'POST', path: '/api/wx/share/track', body: { shareId, event }, read: () => true })
    .catch(() => undefined);
}

function content(card: ShareCard | undefined, extra: ShareExtra): WxShareContent {
  const own: WxShareContent = {};
  const title = extra.title || (card && card.title);
  const imageUrl = extra.imageUrl || (card && card.imageUrl);
  const imageUrlId = extra.imageUrlId || (extra.imageUrl ? undefined : card && card.imageUrlId);
  const query = card ? joinQueries(extra.query, card.query) : extra.query;
  if (title) own.title = title;
  if (imageUrl) own.imageUrl = imageUrl;
  if (imageUrlId) own.imageUrlId = imageUrlId;
  if (query) own.query = query;
  return own;
}

function readCard(body: unknown): ShareCard | undefined {
  if (!isRecord(body)) return undefined;
  const { shareId, inviteCode, query, title, imageUrl, imageUrlId } = body;
  if (!isString(shareId) || !isString(query)) return undefined;
  return Object.assign(
    {
      shareId,
      query,
      inviteCode: isString(inviteCode) ? inviteCode : '',
      title: isString(title) ? title : '',
      imageUrl: isString(imageUrl) ? imageUrl : '',
    },
    isString(imageUrlId) ? { imageUrlId } : {},
  );
}
