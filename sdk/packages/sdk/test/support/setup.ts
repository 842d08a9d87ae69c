/** A phone, the service in memory, and virtual time. */
import {
  localPlatform,
  VirtualClock,
  World,
  type Game,
  type Phone,
  type PhoneOptions,
} from '@avalon-wx/wx-stand-in';
import type { ClientOptions } from '../../src/index.js';
import { createClient, type Client } from '../../src/index.js';
import type { Core } from '../../src/core.js';
import { FakeService } from './fake-service.js';

export const ORIGIN = 'https://wx.example.com';

export type TestClient = Client & { readonly core: Core };

export interface Setup {
  readonly clock: VirtualClock;
  readonly service: FakeService;
  readonly world: World;
  readonly phone: Phone;
  /** Restarts the game and creates its client. */
  start(options?: Partial<ClientOptions>, entry?: Parameters<Phone['launch']>[0]): TestClient;
  readonly game: Game;
}

/** Events other than those of a test are off. */
export const QUIET = { launch: false, show: false, hide: false, error: false, network: false, client: false };

export function setUp(options: Partial<PhoneOptions> = {}): Setup {
  const clock = new VirtualClock();
  const service = new FakeService(() => clock.now());
  const platform = localPlatform();
  platform.pay = (payment) => {
    const { parameters } = payment;
    const orderId =
      payment.api === 'requestPayment'
        ? String(parameters['package']).replace('prepay_id=', '')
        : String(JSON.parse(String(parameters['signData'])).outTradeNo);
    service.pay(orderId);
    return Promise.resolve();
  };
  const world = new World({ clock, transport: service.transport, platform });
  const phone = world.phone({ player: 'alice', ...options });
  return {
    clock,
    service,
    world,
    phone,
    get game() {
      return phone.game as Game;
    },
    start(extra = {}, entry = {}) {
      const game = phone.launch(entry);
      return createClient({ baseUrl: ORIGIN, autoTrack: QUIET, host: game.host, ...extra }) as TestClient;
    },
  };
}

/** Waits for a rejection and returns it. */
export async function rejection(
  promise: Promise<unknown>,
): Promise<{ code: string; status: number; retryable: boolean }> {
  try {
    await promise;
  } catch (error) {
    return error as { code: string; status: number; retryable: boolean };
  }
  throw new Error('The promise was not rejected.');
}
