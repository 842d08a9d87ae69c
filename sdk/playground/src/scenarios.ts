/** Scenarios: what happens between phones, WeChat and the service, with what has to come out. */
import { TEMPLATE, type PhoneView } from './phone-view.js';
import { gift } from './pushes-view.js';
import type { Stage } from './stage.js';
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
    id: 'virtual',
    title: 'scenarioVirtual',
    async run({ alice }) {
      alice.restartWith('virtual_payment');
      try {
        await alice.signIn();
        const before = await quantity(alice);
        await buy(alice, 'paid');
        expect(alice.lastOrder?.channel === 'virtual_payment', `the channel is ${alice.lastOrder?.channel}`);
        expect((await quantity(alice)) === before + 1, 'the item is missing');
      } finally {
        alice.restartWith('any');
      }
    },
  },
  {
    id: 'coins',
    title: 'scenarioCoins',
    async run({ stage, alice }) {
      await alice.signIn();
      const before = await quantity(alice);
      await stage.sim('POST', `/vpay/players/${stage.openid('alice')}/coins`, { bought: 100, granted: 0 });
      const { coins } = alice.client;
      await within(10_000, 'the coins did not arrive', async () => (await coins.balance()).balance >= 100);
      const { balance } = await coins.balance();
      const result = await coins.spend('gems-60', 1);
      expect(result.status === 'paid', `the purchase is ${result.status}`);
      expect((await quantity(alice)) === before + 1, 'the item is missing');
      await within(5000, 'the coins were not taken', async () => (await coins.balance()).balance < balance);
    },
  },
  {
    id: 'gift',
    title: 'scenarioGift',
    async run({ stage, alice }) {
      await alice.signIn();
      const before = await quantity(alice);
      await stage.sim('PUT', '/vpay/push-settings', { copies: 3 });
      try {
        await gift(stage, stage.openid('alice'));
      } finally {
        await stage.sim('PUT', '/vpay/push-settings', { copies: 1 });
      }
      await within(10_000, 'the gift did not arrive', async () => (await quantity(alice)) > before);
      expect((await quantity(alice)) === before + 2, 'the gift was granted more than once');
    },
  },
  {
    id: 'subscription',
    title: 'scenarioSubscription',
    async run({ stage, alice }) {
      await alice.signIn();
      const openId = stage.openid('alice');
      const received = async (): Promise<number> => {
        const { sent } = await stage.sim('GET', `/players/${openId}/subscriptions`);
        return (sent as unknown[]).length;
      };
      const before = await received();
      alice.panel = 'accept';
      const answers = await alice.client.social.subscribe([TEMPLATE]);
      alice.panel = undefined;
      expect(answers[TEMPLATE] === 'accept', 'the panel was refused');
      await new Promise((resolve) => setTimeout(resolve, 500));
      const message = { openId, templateId: TEMPLATE, data: { thing1: 'Energy' } };
      await stage.internal('POST', '/messages', message);
      await within(10_000, 'no message was received', async () => (await received()) === before + 1);
    },
  },
  {
    id: 'leaderboard',
    title: 'scenarioLeaderboard',
    async run({ alice, bob }) {
      await alice.signIn();
      await bob.signIn();
      const score = Math.floor(Date.now() / 1000);
      await alice.client.scores.score('score', score);
      await bob.client.scores.score('score', score + 1);
      await within(5000, 'the scores are not ranked', async () => {
        const { entries, me } = await alice.client.scores.leaderboard('score', { around: 'me', limit: 10 });
        const best = entries.find((entry) => entry.score === score + 1);
        return me?.score === score && best?.rank === me.rank - 1;
      });
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
      bob.connect(bob.phone.open(card));
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
