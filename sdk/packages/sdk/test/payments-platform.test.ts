import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PhoneOptions, SheetAnswer } from '@avalon-wx/wx-stand-in';
import { createClient } from '../src/index.js';
import { ORIGIN, setUp } from './support/setup.js';

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

test('closed_sheet_on_a_computer_does_not_cancel_the_order', async () => {
  const { clock, client, phone, service } = await shop({ platform: 'windows' });
  answers(phone, { code: -2 });
  const ended: string[] = [];
  client.payments.onOrder(({ status }) => ended.push(status));
  const result = await clock.until(client.payments.pay('gems', 1));
  assert.equal(result.status, 'cancelled');
  assert.equal(service.orders[0]?.status, 'pending');
  service.pay('order-1');
  await clock.advance(10_000);
  assert.deepEqual(ended, ['paid']);
});

test('unsupported_phones_are_refused_before_any_order', async () => {
  const phones: Partial<PhoneOptions>[] = [
    { platform: 'ios', system: 'iOS 14.8', requestPayment: false },
    { platform: 'ios', baseLibrary: '3.10.2', requestPayment: false },
    { platform: 'ios', clientVersion: '8.0.67', requestPayment: false },
    { platform: 'android', baseLibrary: '2.19.1', requestPayment: false },
  ];
  for (const options of phones) {
    const { clock, client, service } = await shop(options);
    assert.deepEqual(await clock.until(client.payments.pay('gems', 1)), {
      status: 'refused',
      code: 'PLATFORM_UNSUPPORTED',
    });
    assert.equal(service.orders.length, 0);
  }
  for (const options of [
    { platform: 'ios' },
    { platform: 'ohos' },
    { platform: 'android', baseLibrary: '2.19.2' },
  ] as const) {
    const { clock, client } = await shop({ ...options, requestPayment: false });
    assert.equal((await clock.until(client.payments.pay('gems', 1))).status, 'paid');
  }
});

test('the_only_possible_channel_is_requested', async () => {
  const { clock, client, service } = await shop({ platform: 'ios', system: 'iOS 14.0' });
  service.channel = 'wechat_pay';
  assert.equal((await clock.until(client.payments.pay('gems', 1))).status, 'paid');
  const body = JSON.parse(
    service.requests.find(({ path }) => path === '/api/wx/createOrder')?.body as string,
  ) as Record<string, unknown>;
  assert.deepEqual([body['channel'], body['platform'], body['envVersion']], ['wechat_pay', 'ios', 'release']);
});

test('unknown_channel_is_refused_and_its_order_cancelled', async () => {
  const { clock, client, phone, service } = await shop();
  service.channel = 'barter';
  const result = await clock.until(client.payments.pay('gems', 1));
  assert.deepEqual(result, { status: 'refused', code: 'CHANNEL_UNSUPPORTED', orderId: 'order-1' });
  await clock.advance(1000);
  assert.equal(service.orders[0]?.status, 'closed');
  assert.equal(phone.payments.sheets.length, 0);
});

test('old_ios_cannot_pay_whatever_wechat_says', async () => {
  const { clock, phone } = setUp({ platform: 'ios', system: 'iOS 14.8', requestPayment: false });
  const { host } = phone.launch();
  const checkIsSupportMidasPayment: typeof host.wx.checkIsSupportMidasPayment = (options) =>
    options.success?.({ data: { allow_pay: true } } as never);
  const client = createClient({
    baseUrl: ORIGIN,
    host: { ...host, wx: { ...host.wx, checkIsSupportMidasPayment } },
  });
  await clock.until(client.login());
  const result = await clock.until(client.payments.pay('gems', 1));
  assert.deepEqual(result, { status: 'refused', code: 'PLATFORM_UNSUPPORTED' });
});

test('questions_that_wechat_does_not_answer_delay_no_purchase', async () => {
  for (const unanswered of [
    () => undefined,
    () => {
      throw new Error('of WeChat');
    },
  ]) {
    const { clock, phone } = setUp();
    const { host } = phone.launch();
    const wx = {
      ...host.wx,
      checkSession: unanswered,
      checkIsSupportMidasPayment: unanswered,
    } as never as typeof host.wx;
    const client = createClient({ baseUrl: ORIGIN, host: { ...host, wx } });
    await clock.until(client.login());
    const begun = clock.now();
    assert.equal((await clock.until(client.payments.pay('gems', 1))).status, 'paid');
    assert.ok(clock.now() - begun < 7000);
  }
});
