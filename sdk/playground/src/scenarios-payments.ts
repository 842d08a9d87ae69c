/** Scenarios of purchases. */
import { buy, callbackOf, expect, quantity, within, type Scenario } from './scenario.js';

export const PAYMENTS: readonly Scenario[] = [
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
    needs: '/api/wx/coins',
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
    needs: '/api/wx/coins',
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
];
