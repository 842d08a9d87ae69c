/**
 * Sharing: cards whose query leads the receiver back to the share, from code and from the menu. The menu has three
 * seconds, so a card is prepared for it; if none arrives in time, the game's own content is used.
 */
import type { Cancellable, CancelToken } from '../base/cancel.js';
import { defined, isFunction } from '../base/store.js';
import { checked, readNothing, texts } from '../api/read.js';
import type { WxShareContent } from '../base/wx.js';
import type { Core } from '../core.js';
import type { Http } from '../http/http.js';
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

const MENU_MS = 2500;

export class Shares {
  private menu: { scene: string; extra: () => ShareExtra } | undefined;
  private prepared: Promise<ShareCard> | undefined;

  constructor(private readonly core: Core) {}

  /** Opens the picker with a card of this scene; the picker opens even when the service cannot be reached. */
  async share(
    scene: string,
    extra: ShareExtra = {},
    { cancel }: Cancellable = {},
  ): Promise<ShareCard | undefined> {
    let card: ShareCard | undefined;
    try {
      card = await this.create(scene, 'code', cancel);
    } catch (error) {
      if (cancel && cancel.cancelled) throw error;
    }
    this.core.entries.picker();
    this.core.host.wx.shareAppMessage(content(card, extra));
    this.shown(scene, 'code', card);
    return card;
  }

  /** Turns the menu's entry on. `extra` is asked for each time the player opens the menu. */
  enableMenu(scene: string, extra: () => ShareExtra = () => ({})): void {
    const { wx } = this.core.host;
    const first = this.menu === undefined;
    this.menu = { scene, extra };
    this.prepare();
    if (isFunction(wx.showShareMenu)) {
      wx.showShareMenu({ withShareTicket: true, menus: ['shareAppMessage', 'shareTimeline'] });
    }
    if (first) wx.onShareAppMessage(() => this.menuContent());
  }

  private menuContent(): WxShareContent & { promise?: Promise<WxShareContent> } {
    const menu = this.menu as { scene: string; extra: () => ShareExtra };
    const extra = menu.extra();
    const prepared = this.prepare();
    this.core.entries.picker();
    const late = new Promise<undefined>((resolve) =>
      this.core.host.setTimeout(() => resolve(undefined), MENU_MS),
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

  private create(scene: string, channel: string, cancel?: CancelToken): Promise<ShareCard> {
    const options = { priority: 'urgent' as const, attempts: 2, timeout: MENU_MS, cancel };
    return this.core.http.post('/api/wx/share', { scene, channel }, readCard, options);
  }

  private shown(scene: string, channel: string, card: ShareCard | undefined): void {
    this.core.events.track('$share', { scene, channel, shareId: card && card.shareId });
    if (card) track(this.core.http, card.shareId, 'shown');
  }
}

/** Reports what happened to a share. A failure concerns the statistics only. */
export function track(http: Http, shareId: string, event: 'shown' | 'opened'): void {
  http.post('/api/wx/share/track', { shareId, event }, readNothing).catch(() => undefined);
}

function content(card: ShareCard | undefined, extra: ShareExtra): WxShareContent {
  const { title, imageUrl, imageUrlId }: ShareExtra = card || {};
  return defined({
    title: extra.title || title || undefined,
    imageUrl: extra.imageUrl || imageUrl || undefined,
    imageUrlId: extra.imageUrlId || (extra.imageUrl ? undefined : imageUrlId) || undefined,
    query: (card ? joinQueries(extra.query, card.query) : extra.query) || undefined,
  });
}

const readCard = checked<ShareCard>((body) => texts(body, 'shareId', 'query'));
