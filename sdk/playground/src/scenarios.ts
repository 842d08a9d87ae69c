/** Scenarios: what happens between phones, WeChat and the service, with what has to come out. */
import { createClient } from '@avalon-wx/sdk';
import type { PhoneView } from './phone-view.js';
import { GAME_ORIGIN, type Stage } from './stage.js';
import type { TextKey } from './texts.js';

export interface Cast {
  readonly stage: Stage;
  readonly alice: PhoneView;
  readonly bob: PhoneView;
  /** A second phone of Alice. */
  readonly tablet: PhoneView;
}

export interface Scenario {
  readonly id: string;
  readonly title: TextKey;
  run(cast: Cast): Promise<void>;
}

function expect(fact: boolean, text: string): void {
  if (!fact) throw new Error(text);
}

async function within(ms: number, text: string, ask: () => Promise<boolean> | boolean): Promise<void> {
  for (
    const end = Date.now() + ms;
    !(await ask());
    await new Promise((resolve) => setTimeout(resolve, 100))
  ) {
    expect(Date.now() < end, text);
  }
}

async function quantity({ client }: PhoneView): Promise<number> {
  const items = await client.payments.inventory();
  return items.find(({ productId }) => productId === 'gems-60')?.quantity ?? 0;
}

/** Buys and returns the id of the order. */
async function buy(phone: PhoneView, status: string): Promise<string> {
  phone.sheet = 'pay';
  const result = await phone.buy('gems-60');
  phone.sheet = undefined;
  expect(result === status, `the purchase is ${result}`);
  return phone.lastOrder?._id ?? '';
}

async function callbackOf(stage: Stage, order: string): Promise<string> {
  const { callbacks } = (await stage.sim('GET', `/pay/callbacks?outTradeNo=${order}`)) as {
    callbacks: { id: string }[];
  };
  return callbacks[0]?.id ?? '';
}

export const SCENARIOS: readonly Scenario[] = [
  {
    id: 'purchase',
    title: 'scenarioPurchase',
    async run({ alice }) {
      await alice.signIn();
      const before = await quantity(alice);
      await buy(alice, 'paid');
      expect((await quantity(alice)) === before + 1, 'the item is missing');
    },
  },
  {
    id: 'cancel',
    title: 'scenarioCancel',
    async run({ alice }) {
      await alice.signIn();
      alice.sheet = { code: -2 };
      const result = await alice.buy('gems-60');
      alice.sheet = undefined;
      expect(result === 'cancelled', `the purchase is ${result}`);
      expect(alice.lastOrder?.status === 'closed', `the order is ${alice.lastOrder?.status}`);
    },
  },
  {
    id: 'late',
    title: 'scenarioLate',
    async run({ stage, alice }) {
      await alice.signIn();
      await stage.sim('PUT', '/pay/callbacks', { mode: 'hold' });
      alice.sheet = 'pay';
      const { pay } = alice.client.payments;
      const result = await pay('gems-60', 1, { wait: 500 });
      alice.sheet = undefined;
      await stage.sim('PUT', '/pay/callbacks', { mode: 'normal' });
      await stage.sim('POST', '/pay/callbacks/release', {});
      expect(result.status === 'pending', `the purchase is ${result.status}`);
      await within(15_000, 'the order was not paid', () => alice.lastOrder?.status === 'paid');
    },
  },
  {
    id: 'duplicate',
    title: 'scenarioDuplicate',
    async run({ stage, alice }) {
      await alice.signIn();
      const before = await quantity(alice);
      const order = await buy(alice, 'paid');
      await stage.sim('POST', `/pay/callbacks/${await callbackOf(stage, order)}/repeat`, { copies: 3 });
      expect((await quantity(alice)) === before + 1, 'the item was granted twice');
    },
  },
  {
    id: 'forged',
    title: 'scenarioForged',
    async run({ stage, alice }) {
      await alice.signIn();
      const before = await quantity(alice);
      const order = await buy(alice, 'paid');
      await stage.sim('POST', '/pay/callbacks/forge', { outTradeNo: order, kind: 'signature' });
      await stage.sim('POST', '/pay/callbacks/forge', { outTradeNo: order, kind: 'amount' });
      expect((await quantity(alice)) === before + 1, 'a forged callback had an effect');
    },
  },
  {
    id: 'refund',
    title: 'scenarioRefund',
    async run({ stage, alice }) {
      await alice.signIn();
      const before = await quantity(alice);
      const order = await buy(alice, 'paid');
      await stage.admin('POST', `/orders/${order}/refund`, { reason: 'playground' });
      await within(10_000, 'the order was not refunded', async () => {
        const current = await alice.client.payments.order(order);
        alice.knowOrder(current);
        return current.status === 'refunded';
      });
      expect((await quantity(alice)) === before, 'the item was kept');
    },
  },
  {
    id: 'devices',
    title: 'scenarioDevices',
    async run({ alice, tablet }) {
      await alice.signIn();
      let replaced = false;
      const stop = alice.client.onSession(({ type }) => (replaced ||= type === 'replaced'));
      await tablet.signIn();
      await alice.client.payments.inventory().catch(() => undefined);
      stop();
      expect(replaced, 'the first device did not hear of it');
      await alice.signIn();
    },
  },
  {
    id: 'invite',
    title: 'scenarioInvite',
    async run({ alice, bob }) {
      await alice.signIn();
      alice.target = { friend: 'bob' };
      // A service without shares yet still opens the picker, with the game's own query.
      await alice.client.social.share('playground', { title: 'Play with me', query: 'level=3' });
      await within(3000, 'no card was sent', () => alice.phone.sharing.cards.length > 0);
      alice.target = undefined;
      const card = alice.phone.sharing.cards.at(-1);
      if (!card) throw new Error('no card was sent');
      bob.phone.kill();
      const game = bob.phone.open(card);
      bob.connect(createClient({ baseUrl: GAME_ORIGIN, host: game.host }));
      let level: string | undefined;
      bob.client.social.onEntry(({ query }) => (level = query['level']));
      await bob.signIn();
      await within(3000, 'the entry was not reported', () => level === '3');
    },
  },
  {
    id: 'ranking',
    title: 'scenarioRanking',
    async run({ stage, alice, bob }) {
      stage.world.befriend('alice', 'bob');
      for (const [phone, score] of [
        [alice, 16],
        [bob, 23],
      ] as const) {
        phone.phone.consents.decided.set('scope.WxFriendInteraction', true);
        const value = JSON.stringify({ wxgame: { score, update_time: 1 } });
        await phone.phone.game?.wx.setUserCloudStorage({ KVDataList: [{ key: 'score', value }] });
      }
      alice.showRanking();
      await new Promise((resolve) => setTimeout(resolve, 600));
    },
  },
  {
    id: 'offline',
    title: 'scenarioOffline',
    async run({ alice }) {
      await alice.signIn();
      await alice.client.events.flush();
      alice.phone.network.type = 'none';
      for (let index = 0; index < 25; index++) alice.client.events.track('playground_offline', { index });
      expect(alice.client.events.stats().queued >= 25, 'events were lost');
      alice.restart();
      alice.phone.network.type = 'wifi';
      await within(10_000, 'events were not sent', async () => {
        await alice.client.events.flush();
        return alice.client.events.stats().queued === 0;
      });
    },
  },
];
