/** One phone on the page: its switches, what the game can do, and what it knows. */
import { createClient, type AvalonError, type Client, type Order, type WxLike } from '@avalon-wx/sdk';
import type {
  Game,
  NetworkType,
  Phone,
  PhonePlatform,
  ShareCard,
  ShareTarget,
  SheetAnswer,
} from '@avalon-wx/wx-stand-in';
import { button, choice, el, toggle } from './dom.js';
import { GAME_ORIGIN } from './stage.js';
import { t } from './texts.js';
import { answerWeChat } from './wechat-dialogs.js';

const BOARD = 'score';
const PAY_THROUGH = ['any', 'wechat_pay', 'virtual_payment'] as const;
export type PayThrough = (typeof PAY_THROUGH)[number];
/** The template of subscribe messages that `avalon dev` configures. */
export const TEMPLATE = 'template-1';
const FULL = 10 * 1024 * 1024;

export class PhoneView {
  readonly element: HTMLElement;
  client!: Client;
  /** Answers sheets without the player, for scenarios. */
  sheet: SheetAnswer | undefined;
  /** Chooses the target of a share without the player. */
  target: ShareTarget | undefined;
  /** Answers the panel of subscribe messages without the player. */
  panel: 'accept' | 'reject' | undefined;
  /** Hears of the answers on the panel, which WeChat's servers have before the game. */
  onPanel: (results: Record<string, string>) => Promise<unknown> = () => Promise.resolve();
  /** Reads the subscribe messages that WeChat delivered. */
  received: () => Promise<string> = () => Promise.resolve('');
  lastOrder: Order | undefined;
  private readonly status = el('p', { className: 'status' });
  private readonly products = el('ul', { data: { list: 'products' } });
  private readonly items = el('ul', { data: { list: 'items' } });
  private readonly orders = el('ul', { data: { list: 'orders' } });
  private readonly screen = el('canvas', { width: 640, height: 480, hidden: true });
  private drawing = 0;
  private payThrough: PayThrough = 'any';

  constructor(
    readonly name: string,
    readonly phone: Phone,
    readonly targets: () => readonly ShareTarget[],
    private readonly inbox: () => ShareCard | undefined,
  ) {
    const heading = el('h3', { id: `phone-${name}` }, name);
    this.status.setAttribute('role', 'status');
    this.screen.setAttribute('role', 'img');
    this.element = el(
      'section',
      { className: 'phone', data: { phone: name } },
      heading,
      this.switches(),
      this.status,
      this.actions(),
    );
    this.element.setAttribute('aria-labelledby', heading.id);
    for (const [title, list] of [
      ['products', this.products],
      ['items', this.items],
      ['orders', this.orders],
    ] as const) {
      this.element.append(el('h4', {}, t(title)), list);
    }
    this.element.append(this.screen);
    answerWeChat(this.phone, this);
    this.restart();
  }

  /** Restarts the game; storage stays. */
  restart(): void {
    this.connect(this.phone.launch());
  }

  /** Restarts the game on a phone that has only one of WeChat's sheets. */
  restartWith(payThrough: PayThrough): void {
    this.payThrough = payThrough;
    this.restart();
  }

  /** Creates the client of a game that was started, also by a card. */
  connect({ host }: Game): void {
    const wx: WxLike = { ...host.wx };
    if (this.payThrough === 'wechat_pay') delete wx.requestMidasPaymentGameItem;
    if (this.payThrough === 'virtual_payment') delete wx.requestPayment;
    const client = createClient({ baseUrl: GAME_ORIGIN, host: { ...host, wx } });
    this.client = client;
    client.onSession(({ type }) => this.say(type));
    client.payments.onOrder((order) => this.knowOrder(order));
    this.say(client.user ? client.user._id : t('notSignedIn'));
  }

  /** Runs what the player does; a failure is shown with its code. */
  async act(name: string, run: () => Promise<unknown>): Promise<void> {
    try {
      const result = await run();
      this.say(`${name}: ${typeof result === 'string' ? result : 'ok'}`);
    } catch (error) {
      this.say(`${name}: ${(error as AvalonError).code ?? String(error)}`);
    }
  }

  async signIn(): Promise<string> {
    const user = await this.client.login({ byPlayer: true });
    await this.refresh();
    return user._id;
  }

  async buy(productId: string): Promise<string> {
    const result = await this.client.payments.pay(productId, 1);
    if ('orderId' in result && result.orderId)
      this.knowOrder(await this.client.payments.order(result.orderId));
    if (result.status === 'paid') this.knowOrder(result.order);
    await this.refresh();
    return result.status;
  }

  /** Reads products and items. */
  async refresh(): Promise<void> {
    const [products, items] = await Promise.all([
      this.client.payments.products(),
      this.client.payments.inventory(),
    ]);
    this.products.replaceChildren(
      ...products.map(({ productId, name, price }) =>
        el(
          'li',
          {},
          `${name}, ¥${(price / 100).toFixed(2)} `,
          this.action(t('buy'), `buy-${productId}`, () => this.buy(productId)),
        ),
      ),
    );
    this.items.replaceChildren(
      ...items.map(({ productId, quantity }) =>
        el(
          'li',
          { data: { item: productId } },
          `${productId} × ${quantity} `,
          this.action(t('consume'), `consume-${productId}`, async () => {
            await this.client.payments.consume(productId, 1);
            await this.refresh();
          }),
        ),
      ),
    );
  }

  /** Opens a card that was sent to this player or to the group. */
  openCard(card: ShareCard): void {
    this.phone.kill();
    this.connect(this.phone.open(card));
    this.client.social.onEntry((entry) => this.say(`${t('entry')}: ${JSON.stringify(entry.query)}`));
  }

  knowOrder(order: Order): void {
    this.lastOrder = order;
    const text = `${order.productId}: ${order.status}`;
    const known = this.orders.querySelector(`[data-order="${order._id}"]`);
    if (known) known.textContent = text;
    else this.orders.prepend(el('li', { data: { order: order._id } }, text));
  }

  /** Stores a score at WeChat, as the service does for a board with a hosted key, and reports it. */
  async setScore(score: number): Promise<void> {
    const value = JSON.stringify({ wxgame: { score, update_time: Math.floor(Date.now() / 1000) } });
    this.phone.player.hosted.set(BOARD, value);
    await this.client.scores.score(BOARD, score);
  }

  showRanking(): void {
    const rect = { x: 0, y: 0, width: 320, height: 240 };
    const theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
    const { canvas } = this.client.friends.show(rect, { key: BOARD, title: t('ranking'), theme });
    this.screen.hidden = false;
    this.screen.height = 480;
    this.screen.setAttribute('aria-label', t('ranking'));
    cancelAnimationFrame(this.drawing);
    const draw = (): void => {
      const ctx = this.screen.getContext('2d') as CanvasRenderingContext2D;
      ctx.drawImage(canvas as CanvasImageSource, 0, 0);
      this.drawing = requestAnimationFrame(draw);
    };
    draw();
  }

  hideRanking(): void {
    cancelAnimationFrame(this.drawing);
    this.client.friends.hide();
    this.screen.hidden = true;
  }

  say(text: string): void {
    this.status.textContent = text;
  }

  private switches(): HTMLElement {
    const { settings, network, storage } = this.phone;
    return el(
      'div',
      { className: 'switches' },
      choice(
        t('platform'),
        'platform',
        ['android', 'ios', 'ohos', 'windows', 'mac', 'devtools'],
        settings.platform,
        (value) => {
          settings.platform = value as PhonePlatform;
          settings.system = value === 'ios' ? 'iOS 17.0' : 'Android 14';
          this.restart();
        },
      ),
      choice(
        t('baseLibrary'),
        'base-library',
        ['3.15.2', '3.6.6', '2.25.3', '2.10.0', '1.9.0'],
        settings.baseLibrary,
        (value) => {
          settings.baseLibrary = value;
          this.restart();
        },
      ),
      choice(t('payThrough'), 'pay-through', PAY_THROUGH, this.payThrough, (value) =>
        this.restartWith(value as PayThrough),
      ),
      choice(t('network'), 'network', ['wifi', '5g', '3g', 'none'], network.type, (value) => {
        network.type = value as NetworkType;
      }),
      toggle(t('background'), 'background', (on) => (on ? this.phone.background() : this.phone.foreground())),
      toggle(t('fullStorage'), 'full', (on) => (storage.occupied = on ? FULL : 0)),
      button(t('restart'), 'restart', () => this.restart()),
    );
  }

  private actions(): HTMLElement {
    return el(
      'div',
      { className: 'row' },
      this.action(t('signIn'), 'sign-in', () => this.signIn()),
      this.action(t('signOut'), 'sign-out', () => this.client.logout()),
      this.action(t('share'), 'share', async () => void (await this.client.social.share('playground'))),
      this.action(t('score'), 'score', () => this.setScore(Math.floor(Math.random() * 1000))),
      this.action(t('ranking'), 'ranking', async () => this.showRanking()),
      this.action(t('hideRanking'), 'hide-ranking', async () => this.hideRanking()),
      this.action(t('subscribe'), 'subscribe', async () =>
        JSON.stringify(await this.client.social.subscribe([TEMPLATE])),
      ),
      this.action(t('messages'), 'messages', () => this.received()),
      this.action(t('track'), 'track', async () => {
        this.client.events.track('playground');
        return String(this.client.events.stats().queued);
      }),
      this.action(t('coins'), 'coins', async () => String((await this.client.coins.balance()).balance)),
      this.action(t('spendCoins'), 'spend', async () => {
        const result = await this.client.coins.spend('gems-60', 1);
        if (result.status === 'paid') this.knowOrder(result.order);
        await this.refresh();
        return result.status;
      }),
      this.action(t('openCard'), 'open-card', async () => {
        const card = this.inbox();
        if (card) this.openCard(card);
        return card ? 'ok' : t('nothing');
      }),
      this.action(t('invites'), 'invites', async () => JSON.stringify(await this.client.social.invites())),
      this.action(t('rewards'), 'rewards', async () =>
        JSON.stringify((await this.client.social.rewards()).rewards),
      ),
      this.action(t('leaderboard'), 'leaderboard', async () => {
        const { window, entries, me } = await this.client.scores.leaderboard(BOARD, { limit: 10 });
        const rows = entries.map(({ rank, nickname, score }) => `${rank}. ${nickname ?? '?'} ${score}`);
        return `${window}: ${rows.join(', ')}${me ? ` (${me.rank})` : ''}`;
      }),
    );
  }

  private action(label: string, name: string, run: () => Promise<unknown>): HTMLButtonElement {
    return button(label, name, () => this.act(label, run));
  }
}
