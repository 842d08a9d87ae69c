/**
 * Sharing: the menu and the picker. The picker takes the game to the background and back, and reports neither whether
 * nor to whom the card went. A card is opened on another phone as an entry.
 */
import type { Lifecycle } from './lifecycle.js';
import type { World } from './world.js';
import type { Entry } from './lifecycle.js';
import type { Clock } from './clock.js';

/** Time that `promise` of a menu share may take, in milliseconds. */
export const SHARE_PROMISE_MS = 3000;

export interface ShareContent {
  title?: string;
  imageUrl?: string;
  imageUrlId?: string;
  query?: string;
}

export interface MenuShareContent extends ShareContent {
  promise?: PromiseLike<ShareContent>;
}

/** Fills a card when the player opens the menu. */
export type MenuListener = () => MenuShareContent;

/** A card that was sent. */
export interface ShareCard extends ShareContent {
  readonly from: string;
  readonly target: ShareTarget;
  readonly withShareTicket: boolean;
}

/** Where a card was sent: to a friend, or to a group. */
export type ShareTarget = { readonly friend: string } | { readonly group: string };

/** Chooses the target on the picker; undefined when the player cancels. */
export type SharePicker = (
  content: ShareContent,
) => ShareTarget | undefined | Promise<ShareTarget | undefined>;

/** The share functions of one phone. */
export class Sharing {
  picker: SharePicker = () => undefined;
  /** Cards that this phone sent. */
  readonly cards: ShareCard[] = [];
  private menu: MenuListener | undefined;
  private menuShown = false;
  private withShareTicket = false;

  constructor(
    private readonly player: string,
    private readonly clock: Clock,
  ) {}

  /** Forgets the menu of a game that ended. */
  reset(): void {
    this.menu = undefined;
    this.menuShown = false;
    this.withShareTicket = false;
  }

  showMenu(options: { withShareTicket?: boolean; menus?: string[] }): void {
    this.menuShown = true;
    if (options.withShareTicket !== undefined) this.withShareTicket = options.withShareTicket;
  }

  updateMenu(options: { withShareTicket?: boolean }): void {
    if (options.withShareTicket !== undefined) this.withShareTicket = options.withShareTicket;
  }

  onMenu(listener: MenuListener): void {
    this.menu = listener;
  }

  /** Taps "share" in the menu, as the player does; returns the card, or undefined without a menu entry. */
  async tapMenu(life: Lifecycle): Promise<ShareCard | undefined> {
    if (!this.menuShown) return undefined;
    const content = (this.menu && this.menu()) || {};
    const { promise, ...atHand } = content;
    const late = new Promise<ShareContent>((resolve) =>
      this.clock.setTimeout(() => resolve(atHand), SHARE_PROMISE_MS),
    );
    const chosen = promise ? await Promise.race([promise, late]).catch(() => atHand) : atHand;
    return this.pick(life, chosen);
  }

  /** Opens the picker. */
  async pick(life: Lifecycle, content: ShareContent): Promise<ShareCard | undefined> {
    life.background();
    const target = await this.picker(content);
    const card =
      target &&
      Object.assign({}, content, { from: this.player, target, withShareTicket: this.withShareTicket });
    if (card) this.cards.push(card);
    life.foreground();
    return card;
  }
}

/** Returns the entry of a player who opens a card. */
export function entryOf(card: ShareCard, world: World): Entry {
  const query = parseQuery(card.query || '');
  if ('friend' in card.target) return { scene: 1007, query, chatType: 1 };
  if (!card.withShareTicket) return { scene: 1008, query, chatType: 3 };
  return { scene: 1044, query, chatType: 3, shareTicket: world.ticket(card.target.group) };
}

function parseQuery(text: string): { [key: string]: string } {
  const query: { [key: string]: string } = {};
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=');
    if (equals > 0)
      query[decodeURIComponent(pair.slice(0, equals))] = decodeURIComponent(pair.slice(equals + 1));
  }
  return query;
}
