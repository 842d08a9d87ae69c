/** One phone with one player: settings, what survives a restart of the game, and the running game. */
import { Consents } from './consent.js';
import { Game } from './game.js';
import type { Entry } from './lifecycle.js';
import { PhoneNetwork } from './network.js';
import { Payments } from './payment.js';
import type { Realm } from './open-data.js';
import { entryOf, Sharing, type ShareCard } from './share.js';
import { PhoneStorage } from './storage.js';
import { Subscriptions } from './subscribe.js';
import type { Player, World } from './world.js';

export type PhonePlatform = 'ios' | 'android' | 'ohos' | 'windows' | 'mac' | 'devtools';

/** Facts about a phone that its owner can change only while no game runs. */
export interface PhoneSettings {
  appId: string;
  platform: PhonePlatform;
  /** Operating system and version, such as `iOS 17.0`. */
  system: string;
  baseLibrary: string;
  /** Version of WeChat. */
  clientVersion: string;
  envVersion: 'develop' | 'trial' | 'release';
  language: string;
  screen: { width: number; height: number; pixelRatio: number };
  /** Origins that `wx.request` may reach; undefined allows all, as the switch in DevTools does. */
  domains: string[] | undefined;
  /** Whether `wx.requestPayment` exists, which WeChat's mini-game typings do not have. */
  requestPayment: boolean;
}

export interface PhoneOptions extends Partial<PhoneSettings> {
  readonly player: string;
  /** Starts the open data context; without it the phone has none. */
  readonly realm?: () => Realm;
}

/** A phone of the world. */
export class Phone {
  readonly settings: PhoneSettings;
  readonly player: Player;
  readonly storage = new PhoneStorage();
  readonly network: PhoneNetwork;
  readonly consents = new Consents();
  readonly sharing: Sharing;
  readonly subscriptions = new Subscriptions();
  readonly payments: Payments;
  /** Events that the game reported to WeChat. */
  readonly reported: { readonly eventId: string; readonly data: unknown }[] = [];
  /** The number of `wx.login` calls so far. */
  logins = 0;
  /** Whether the session key of the latest code is still valid; a new code makes it so. */
  sessionKeyValid = true;
  /** The running game. */
  game: Game | undefined;
  private readonly realm: (() => Realm) | undefined;

  constructor(
    readonly world: World,
    options: PhoneOptions,
  ) {
    const { player, realm, ...settings } = options;
    this.settings = Object.assign(defaults(options.platform || 'android'), settings);
    this.realm = realm;
    this.player = world.player(player);
    this.network = new PhoneNetwork(world.clock, world.transport);
    this.sharing = new Sharing(player, world.clock);
    this.payments = new Payments(this.settings, world.platform);
  }

  /** Starts the game; a running one is killed. */
  launch(entry: Partial<Entry> = {}): Game {
    this.kill();
    this.game = new Game(this, Object.assign({ scene: 1001, query: {} }, entry), this.realm);
    return this.game;
  }

  /** Opens a card that another phone sent: starts the game, or brings it to the front. */
  open(card: ShareCard): Game {
    const entry = entryOf(card, this.world);
    if (!this.game) return this.launch(entry);
    this.game.life.background();
    this.game.life.foreground(entry);
    return this.game;
  }

  /** Takes the game to the background. */
  background(): void {
    if (this.game) this.game.life.background();
  }

  /** Brings the game back. */
  foreground(entry?: Entry): void {
    if (this.game) this.game.life.foreground(entry);
  }

  /** Ends the game without notice, as WeChat and the operating system do. */
  kill(): void {
    if (!this.game) return;
    this.game.life.kill();
    this.game = undefined;
    this.sharing.reset();
    this.consents.reset();
    this.payments.reset();
  }
}

function defaults(platform: PhonePlatform): PhoneSettings {
  const apple = platform === 'ios' || platform === 'mac';
  return {
    appId: 'wx0123456789abcdef',
    platform,
    system: apple ? 'iOS 17.0' : 'Android 14',
    baseLibrary: '3.15.2',
    clientVersion: '8.0.70',
    envVersion: 'release',
    language: 'zh_CN',
    screen: { width: 375, height: 812, pixelRatio: 3 },
    domains: undefined,
    requestPayment: true,
  };
}
