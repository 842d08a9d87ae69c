/**
 * Sharing: cards whose query leads the receiver back to the share, from code and from the menu. The menu has three
 * seconds, so a card is prepared for it; if none arrives in time, the game's own content is used.
 */
import { readNothing, whole } from '../api/read.js';
import { isCancelled, type Cancellable, type CancelToken } from '../base/cancel.js';
import { defined, ignore, isFunction, nothing } from '../base/values.js';
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

/** @internal */
export interface Shares {
  /** Opens the picker with a card of this scene; the picker opens even when the service cannot be reached. */
  open(scene: string, extra?: ShareExtra, options?: Cancellable): Promise<ShareCard | undefined>;
  /** Turns the menu's entry on. `extra` is asked for each time the player opens the menu. */
  enableMenu(scene: string, extra?: () => ShareExtra): void;
}

export function createShares(core: Core): Shares {
  const { host, http, entries } = core;
  const { wx } = host;
  let menu: { readonly scene: string; readonly extra: () => ShareExtra } | undefined;
  let prepared: Promise<ShareCard> | undefined;

  const create = (scene: string, channel: string, cancel?: CancelToken): Promise<ShareCard> =>
    http.submit('share', { scene, channel }, readCard, {
      priority: 'urgent',
      attempts: 2,
      timeout: MENU_MS,
      cancel,
    });

  const shown = (scene: string, channel: string, card: ShareCard | undefined): void => {
    core.record('$share', { scene, channel, shareId: card && card.shareId });
    if (card) track(http, card.shareId, 'shown');
  };

  /** Asks for the menu's next card ahead of time. */
  const prepare = (scene: string): Promise<ShareCard> => {
    if (!prepared) {
      const work = create(scene, 'menu');
      prepared = work;
      work.catch(() => {
        if (prepared === work) prepared = undefined;
      });
    }
    return prepared;
  };

  const menuContent = (): WxShareContent & { promise?: Promise<WxShareContent> } => {
    const { scene, extra } = menu as NonNullable<typeof menu>;
    const own = extra();
    const card = prepare(scene).catch(nothing);
    entries.pick();
    const late = new Promise<undefined>((resolve) => host.setTimeout(() => resolve(undefined), MENU_MS));
    const promise = Promise.race([card, late]).then((ready) => {
      prepared = undefined;
      shown(scene, 'menu', ready);
      ignore(prepare(scene));
      return content(ready, own);
    });
    return { ...content(undefined, own), promise };
  };

  return {
    async open(scene, extra = {}, { cancel } = {}) {
      let card: ShareCard | undefined;
      try {
        card = await create(scene, 'code', cancel);
      } catch (error) {
        if (isCancelled(cancel)) throw error;
      }
      entries.pick();
      wx.shareAppMessage(content(card, extra));
      shown(scene, 'code', card);
      return card;
    },
    enableMenu(scene, extra = () => ({})) {
      if (!menu) wx.onShareAppMessage(menuContent);
      menu = { scene, extra };
      ignore(prepare(scene));
      if (isFunction(wx.showShareMenu))
        wx.showShareMenu({ withShareTicket: true, menus: ['shareAppMessage', 'shareTimeline'] });
    },
  };
}

/** Reports what happened to a share. A failure concerns the statistics only. */
export function track(http: Http, shareId: string, event: 'shown' | 'opened'): void {
  ignore(http.submit('share/track', { shareId, event }, readNothing));
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

const readCard = whole<ShareCard>('shareId query');
