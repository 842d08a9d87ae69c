import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PhoneOptions, SheetAnswer } from '@avalon-wx/wx-stand-in';
import { problem } from './support/fake-service.js';
import { createCancel } from '../src/index.js';
import { rejection, setUp } from './support/setup.js';

async function shop(options: Partial<PhoneOptions> = {}) {
  const setup = setUp(options);
  const client = setup.start();
  await setup.clock.until(client.login());
  return { ...setup, client };
}

/** Answers the sheets in order. */
function answers(phone: Awaited<ReturnType<typeof shop>>['phone'], ...list: SheetAnswer[]): void {
  phone.payments.answer = () => list.shift() ?? 'pay';
}

for (const channel of ['virtual_payment', 'wechat_pay', undefined]) {
  test(`payment_through_${channel ?? 'an_unnamed_channel'}`, async () => {
    const { clock, client, phone, service } = await shop();
    service.channel = channel;
    const result = await clock.until(client.payments.pay('gems', 2));
    assert.equal(result.status, 'paid');
    assert.equal(service.orders.length, 1);
    assert.equal(phone.payments.sheets.length, 1);
  });
}

test('sign_data_reaches_the_sheet_untouched', async () => {
  const { clock, client, phone, service } = await shop();
  const signData =
    '{"mode":"goods", "offerId":"1","buyQuantity":1,"env":0,"currencyType":"CNY","zoneId":"1","productId":"g","goodsPrice":6,"outTradeNo":"order-1"}';
  service.override = (_request, path) =>
    path === '/api/wx/createOrder'
      ? {
          status: 200,
          body: {
            orderId: 'order-1',
            payParams: { channel: 'virtual_payment', mode: 'goods', signData, paySig: 'p', signature: 's' },
          },
        }
      : undefined;
  void client.payments.pay('gems', 1);
  await clock.advance(1000);
  assert.deepEqual(phone.payments.sheets[0]?.parameters, { signData, paySig: 'p', signature: 's' });
});

test('player_cancels_and_the_order_is_closed', async () => {
  const { clock, client, phone, service } = await shop();
  answers(phone, { code: -2 });
  const result = await clock.until(client.payments.pay('gems', 1));
  assert.deepEqual(result, { status: 'cancelled', orderId: 'order-1' });
  assert.equal(service.orders[0]?.status, 'closed');
});

test('sheet_that_fails_although_the_player_paid_is_paid', async () => {
  for (const code of [-2, 1, 7, -1, 6, -15003, -15004, -15007, -15014, 424242]) {
    const { clock, client, phone } = await shop();
    answers(phone, { code, paid: true });
    const result = await clock.until(client.payments.pay('gems', 1));
    assert.equal(result.status, 'paid', `code ${code}`);
    assert.equal(phone.payments.sheets.length, 1);
  }
});

test('changed_session_key_signs_the_same_order_again', async () => {
  for (const code of [-15015, -15012]) {
    const { clock, client, phone, service } = await shop();
    answers(phone, { code }, 'pay');
    const result = await clock.until(client.payments.pay('gems', 1));
    assert.equal(result.status, 'paid');
    assert.equal(service.orders.length, 1);
    assert.equal(phone.logins, 2);
    const [first, second] = phone.payments.sheets.map(({ parameters }) => parameters);
    assert.equal(first?.['signData'], second?.['signData']);
    assert.notEqual(first?.['signature'], second?.['signature']);
  }
});

test('session_key_that_keeps_changing_ends_after_two_sheets', async () => {
  const { clock, client, phone } = await shop();
  answers(phone, { code: -15015 }, { code: -15015 }, { code: -15015 });
  const result = await clock.until(client.payments.pay('gems', 1));
  assert.deepEqual(result, { status: 'refused', code: 'SHEET_REFUSED', wxCode: -15015, orderId: 'order-1' });
  assert.equal(phone.payments.sheets.length, 2);
  assert.equal(phone.logins, 2);
});

test('every_refusal_of_wechat_has_a_result', async () => {
  const definite = [
    3, 4, -6, 1000, 1001, 1003, -15001, -15002, -15005, -15006, -15009, -15010, -15011, -15013, -15014,
    -15016, -15017, 701001,
  ];
  for (const code of definite) {
    const { clock, client, phone } = await shop();
    answers(phone, { code });
    const result = await clock.until(client.payments.pay('gems', 1));
    assert.deepEqual(result, { status: 'refused', code: 'SHEET_REFUSED', wxCode: code, orderId: 'order-1' });
  }
  for (const code of [-1, 2, 5, 6, -15003, -15004, -15007, 99]) {
    const { clock, client, phone } = await shop();
    answers(phone, { code });
    const result = await clock.until(client.payments.pay('gems', 1));
    assert.deepEqual(result, { status: 'pending', orderId: 'order-1' }, `code ${code}`);
  }
});

test('late_payment_is_reported_to_the_listener', async () => {
  const { clock, client, phone, service } = await shop();
  service.override = (_request, path) =>
    path.startsWith('/api/wx/getOrder/') ? problem(503, 'STORE_UNAVAILABLE') : undefined;
  const ended: string[] = [];
  client.payments.onOrder(({ _id, status }) => ended.push(`${_id} ${status}`));
  const result = await clock.until(client.payments.pay('gems', 1));
  assert.equal(result.status, 'pending');
  service.override = () => undefined;
  await clock.advance(120_000);
  assert.deepEqual(ended, ['order-1 paid']);
  assert.equal(phone.payments.sheets.length, 1);
});

test('next_start_asks_for_the_order_of_a_killed_game', async () => {
  const { clock, client, phone, service, start } = await shop();
  phone.payments.answer = () => new Promise(() => undefined);
  void client.payments.pay('gems', 1);
  await clock.advance(1000);
  assert.equal(phone.payments.sheets.length, 1);
  phone.kill();
  service.pay('order-1');
  const next = start();
  const ended: string[] = [];
  next.payments.onOrder(({ status }) => ended.push(status));
  await clock.advance(5000);
  assert.deepEqual(ended, ['paid']);
  const later = start();
  later.payments.onOrder(({ status }) => ended.push(status));
  await clock.advance(5000);
  assert.deepEqual(ended, ['paid']);
});

test('purchase_without_a_sheet_is_continued_with_its_key', async () => {
  const { clock, client, phone, service } = await shop();
  phone.network.fault = ({ url }) => (url.endsWith('/createOrder') ? 'lose-answer' : 'none');
  const error = await clock.until(rejection(client.payments.pay('gems', 1)));
  assert.equal(error.status, 0);
  phone.network.fault = () => 'none';
  const result = await clock.until(client.payments.pay('gems', 1));
  assert.equal(result.status, 'paid');
  assert.equal(service.orders.length, 1);
});

test('closed_order_of_an_unfinished_purchase_is_replaced', async () => {
  const { clock, client, phone, service } = await shop();
  phone.network.fault = ({ url }) => (url.endsWith('/createOrder') ? 'lose-answer' : 'none');
  await clock.until(rejection(client.payments.pay('gems', 1)));
  phone.network.fault = () => 'none';
  (service.orders[0] as { status: string }).status = 'closed';
  const result = await clock.until(client.payments.pay('gems', 1));
  assert.equal(result.status, 'paid');
  assert.deepEqual(
    service.orders.map(({ status }) => status),
    ['closed', 'paid'],
  );
});

test('one_sheet_is_open_at_a_time', async () => {
  const { clock, client, phone, service } = await shop();
  phone.payments.answer = () => new Promise((resolve) => clock.setTimeout(() => resolve('pay'), 3000));
  const first = client.payments.pay('gems', 1);
  const second = await rejection(client.payments.pay('gems', 1));
  assert.equal(second.code, 'PAYMENT_IN_PROGRESS');
  assert.equal((await clock.until(first)).status, 'paid');
  assert.equal(service.orders.length, 1);
});

test('order_that_is_refused_opens_no_sheet', async () => {
  const { clock, client, phone, service } = await shop();
  service.override = (_request, path) =>
    path === '/api/wx/createOrder' ? problem(409, 'OUT_OF_STOCK') : undefined;
  assert.equal((await clock.until(rejection(client.payments.pay('gems', 1)))).code, 'OUT_OF_STOCK');
  assert.equal(phone.payments.sheets.length, 0);
});

test('wrong_arguments_reject_before_any_request', async () => {
  const { client } = await shop();
  for (const [product, quantity] of [
    ['', 1],
    ['a b', 1],
    ['x'.repeat(33), 1],
    ['gems', 0],
    ['gems', 1.5],
    ['gems', 10_001],
    ['gems', NaN],
  ] as const) {
    assert.equal((await rejection(client.payments.pay(product, quantity))).code, 'ARGUMENT_INVALID');
  }
});

test('sheet_codes_are_reported_as_events', async () => {
  const { clock, client, phone, service } = await shop();
  answers(phone, { code: -15009 });
  await clock.until(client.payments.pay('gems', 1));
  await clock.until(client.events.flush());
  const [event] = [...service.events.values()];
  assert.equal(event?.eventName, '$payment');
  assert.equal(event?.eventParams['code'], -15009);
  assert.equal(event?.eventParams['verdict'], 'refused');
});

test('orders_are_listed_page_by_page', async () => {
  const { clock, client, service } = await shop();
  const order = { _id: 'o1', status: 'paid', productId: 'gems' };
  const paths: string[] = [];
  service.override = (_request, path) => {
    if (!path.startsWith('/api/wx/orders')) return undefined;
    paths.push(path);
    const orders = path.includes('status=closed') ? [{ _id: 'o2' }] : [order];
    return { status: 200, body: { orders, nextCursor: 'c' } };
  };
  const page = await clock.until(client.payments.orders({ status: 'paid', limit: 2, cursor: 'a b' }));
  assert.deepEqual(page, { orders: [order], nextCursor: 'c' });
  assert.deepEqual(paths, ['/api/wx/orders?status=paid&limit=2&cursor=a%20b']);
  const malformed = await clock.until(rejection(client.payments.orders({ status: 'closed' })));
  assert.equal(malformed.code, 'MALFORMED_ANSWER');
});

test('coins_are_read_and_spent_without_a_sheet', async () => {
  const { clock, client, phone, service } = await shop();
  assert.deepEqual(await clock.until(client.coins.balance()), {
    balance: 70,
    granted: 10,
    asOf: '2026-01-01T00:00:00.000Z',
    stale: false,
  });
  assert.equal((await clock.until(client.coins.spend('gems', 1))).status, 'paid');
  assert.equal(phone.payments.sheets.length, 0);
  assert.equal(service.orders[0]?.status, 'paid');
});

test('expired_session_key_is_renewed_before_the_order', async () => {
  const { clock, client, phone } = await shop();
  phone.sessionKeyValid = false;
  assert.equal((await clock.until(client.payments.pay('gems', 1))).status, 'paid');
  assert.equal(phone.logins, 2);
  assert.equal((await clock.until(client.payments.pay('gems', 1))).status, 'paid');
  assert.equal(phone.logins, 2);
});

test('cancelled_purchase_goes_on_in_the_background', async () => {
  const { clock, client, phone, service } = await shop();
  phone.payments.answer = () => new Promise((resolve) => clock.setTimeout(() => resolve('pay'), 3000));
  const ended: string[] = [];
  client.payments.onOrder(({ status }) => ended.push(status));
  const source = createCancel();
  const result = rejection(client.payments.pay('gems', 1, { cancel: source.token }));
  await clock.advance(1000);
  source.cancel();
  assert.equal((await result).code, 'CANCELLED');
  await clock.advance(5000);
  assert.deepEqual(ended, ['paid']);
  assert.equal(service.orders.length, 1);
});

test('sheet_that_never_reports_is_replaced_by_the_order', async () => {
  const { clock, client, phone, service } = await shop();
  phone.payments.answer = () => new Promise(() => undefined);
  const result = client.payments.pay('gems', 1);
  await clock.advance(1000);
  phone.background();
  service.pay('order-1');
  await clock.advance(20_000);
  phone.foreground();
  const returned = clock.now();
  assert.equal((await clock.until(result)).status, 'paid');
  assert.ok(clock.now() - returned < 5000);
});

test('unpaid_sheet_that_never_reports_ends_as_pending', async () => {
  const { clock, client, phone } = await shop();
  phone.payments.answer = () => new Promise(() => undefined);
  const result = client.payments.pay('gems', 1);
  await clock.advance(1000);
  phone.background();
  phone.foreground();
  assert.deepEqual(await clock.until(result), { status: 'pending', orderId: 'order-1' });
  assert.notEqual((await clock.until(client.payments.pay('gems', 1))).status, 'paid');
});
