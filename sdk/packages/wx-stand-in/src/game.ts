/** One run of the game on a phone: its `wx`, its timers, and its end. */
import { Lifecycle, type Entry } from './lifecycle.js';
import { OpenData, type Realm } from './open-data.js';
import type { Phone } from './phone.js';
import { Requests } from './requests.js';
import { createWx, type StandInWx } from './wx.js';

/** The globals that a game finds; pass them to code that takes its host as an option. */
export interface GameHost {
  readonly wx: StandInWx;
  readonly global: object;
  setTimeout(callback: () => void, delay: number): number;
  clearTimeout(id: number): void;
  now(): number;
}

export class Game {
  readonly life: Lifecycle;
  readonly requests: Requests;
  readonly openData: OpenData;
  readonly wx: StandInWx;
  readonly host: GameHost;
  readonly errors = new Set<(error: { message: string }) => void>();
  readonly rejections = new Set<(event: { reason: unknown }) => void>();

  constructor(
    readonly phone: Phone,
    entry: Entry,
    realm: (() => Realm) | undefined,
  ) {
    const { world, settings } = phone;
    this.life = new Lifecycle(world.clock, entry);
    const allowed = (url: string): boolean =>
      settings.domains === undefined || settings.domains.some((origin) => url.indexOf(`${origin}/`) === 0);
    this.requests = new Requests(world.clock, phone.network, this.life, allowed);
    this.openData = new OpenData(world, phone.player, settings, phone.consents, realm && realm(), (run) =>
      this.life.deliver(run),
    );
    this.wx = createWx(this);
    this.host = {
      wx: this.wx,
      global: {},
      setTimeout: (callback, delay) => this.life.setTimeout(callback, delay),
      clearTimeout: (id) => this.life.clearTimeout(id),
      now: () => world.clock.now(),
    };
  }

  /** Reports an uncaught error to the game's listeners. */
  throwUncaught(message: string): void {
    for (const listener of Array.from(this.errors)) this.life.deliver(() => listener({ message }));
  }
}
