/**
 * Purchases under random histories: kills at any moment, changed session keys, lost requests and answers, every code of
 * the sheet, sheets that fail although the player paid. One order per intent, never a sheet for a paid order, and the
 * end of every paid order reaches the game exactly once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { setUp, type TestClient } from './support/setup.js';

const CODES = [
  -2, 1, 7, 2, -1, 5, 6, 3, 4, -6, 1000, -15001, -15002, -15003, -15004, -15005, -15006, -15007, -15009,
  -15010, -15011, -15012, -15013, -15014, -15015, -15016, -15017, 1001, 1003, 701001,
];

interface Buy {
  /** How the sheets of this purchase end. */
  sheets: { code: number | undefined; paid: boolean; after: number }[];
  faults: ('none' | 'lose-request' | 'lose-answer')[];
  /** Virtual time after which the game is killed. */
  killAfter: number | undefined;
  /** Storage calls after which the game is killed. */
  killAtCall: number | undefined;
  platform: 'android' | 'windows';
  /** Virtual time after which the player leaves the game and returns. */
  visitAfter: number;
}

const buy: fc.Arbitrary<Buy> = fc.record({
  sheets: fc.array(
    fc.record({
      code: fc.option(fc.constantFrom(...CODES), { nil: undefined }),
      paid: fc.boolean(),
      after: fc.constantFrom(0, 2000, Infinity),
    }),
    { minLength: 2, maxLength: 2 },
  ),
  faults: fc.array(fc.constantFrom('none', 'none', 'lose-request', 'lose-answer'), { maxLength: 10 }),
  killAfter: fc.option(fc.constantFrom(10, 30, 60, 100, 1500, 2100, 5000), { nil: undefined, freq: 2 }),
  killAtCall: fc.option(fc.integer({ min: 1, max: 14 }), { nil: undefined, freq: 1 }),
  platform: fc.constantFrom('android', 'windows'),
  visitAfter: fc.constantFrom(50, 1500, 4000, Infinity),
});

async function play(purchases: Buy[]): Promise<void> {
  const { clock, service, phone, start } = setUp();
  const heard = new Map<string, number>();
  let running = 0;
  const listen = (client: TestClient): void => {
    client.payments.onOrder((order) => {
      // Code of a killed game that still runs here would not run on a phone.
      if (order.status === 'paid' && phone.game) heard.set(order._id, (heard.get(order._id) ?? 0) + 1);
    });
  };
  for (const { sheets, faults, killAfter, killAtCall, platform, visitAfter } of purchases) {
    phone.settings.platform = platform;
    const client = start();
    listen(client);
    await clock.until(client.login());
    let countdown = killAtCall ?? 0;
    phone.storage.fault = () => {
      if (countdown > 0 && --countdown === 0) {
        phone.kill();
        throw new Error('killed');
      }
    };
    const pending = faults.slice();
    phone.network.fault = () => pending.shift() ?? 'none';
    const script = sheets.slice();
    phone.payments.answer = ({ parameters }) => {
      const { outTradeNo } = JSON.parse(String(parameters['signData'])) as { outTradeNo: string };
      const order = service.orders.find(({ _id }) => _id === outTradeNo);
      assert.notEqual(order?.status, 'paid', 'a sheet was opened for a paid order');
      const { code, paid, after } = script.shift() ?? { code: undefined, paid: true, after: 0 };
      // A sheet that never reports may be paid nevertheless.
      if (after === Infinity && paid) clock.setTimeout(() => service.pay(outTradeNo), 1000);
      return new Promise((resolve) =>
        clock.setTimeout(() => resolve(code === undefined ? 'pay' : { code, paid }), after),
      );
    };
    running += 1;
    const before = service.orders.length;
    client.payments.pay('gems', 1).catch(() => undefined);
    const visit = clock.setTimeout(() => {
      phone.background();
      phone.foreground();
    }, visitAfter);
    await clock.advance(killAfter ?? 30_000);
    assert.ok(service.orders.length <= before + 1, 'one intent led to two orders');
    clock.clearTimeout(visit);
    phone.kill();
    phone.storage.fault = undefined;
    phone.network.fault = () => 'none';
  }
  assert.ok(service.orders.length <= running);
  // A last start hears of whatever is still open.
  const last = start();
  listen(last);
  await clock.advance(120_000);
  for (const order of service.orders) {
    if (order.status === 'paid')
      assert.equal(heard.get(order._id), 1, `${order._id} was reported ${heard.get(order._id) ?? 0} times`);
  }
}

test('payment_model', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(buy, { minLength: 1, maxLength: 4 }), (purchases) => play(purchases)),
    { numRuns: Number(process.env['MODEL_RUNS'] ?? 150) },
  );
});
