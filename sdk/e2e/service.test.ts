/** The SDK on the stand-in against a running `avalon dev` (`AVALON`: its path), in real time. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient, type Client } from '@avalon-wx/sdk';
import { fetchTransport, simulatorPlatform, World, type Phone } from '@avalon-wx/wx-stand-in';
import { APP_ID, startDev, type Dev } from './dev.js';

const BINARY = process.env['AVALON'];
const skip = BINARY === undefined ? 'AVALON is not set' : false;
const ORIGIN = 'https://wx.example.com';

let dev: Dev;
let world: World;

before(async () => {
  if (BINARY === undefined) return;
  dev = await startDev(BINARY, { AVALON_AUTH__SIGNATURES: 'required' });
  const transport = fetchTransport((url) => url.replace(ORIGIN, dev.api));
  world = new World({ transport, platform: simulatorPlatform(dev.simulator, APP_ID, fetchTransport()) });
});

after(async () => {
  // Timers of running games would keep the process alive.
  for (const phone of phones) phone.kill();
  await dev?.stop();
});

const phones: Phone[] = [];

function phoneOf(player: string): Phone {
  const phone = world.phone({ player, appId: APP_ID });
  phones.push(phone);
  return phone;
}

function start(phone: Phone): Client {
  return createClient({ baseUrl: ORIGIN, host: phone.launch().host });
}

async function within<T>(ms: number, ask: () => Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + ms; ;) {
    const value = await ask();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('sign_in_with_signatures_required', { skip }, async () => {
  const phone = phoneOf('alice');
  const client = start(phone);
  const user = await client.login();
  assert.equal((await client.profile.get())._id, user._id);
  const again = start(phone);
  assert.equal((await again.login())._id, user._id);
  assert.deepEqual(await again.payments.inventory(), []);
  assert.equal(phone.logins, 1);
  await again.logout();
  await again.login();
  assert.equal(phone.logins, 2);
});

test('profile_through_the_user_info_button', { skip }, async () => {
  const phone = phoneOf('profile');
  phone.player.nickname = '小明';
  const client = start(phone);
  await client.login();
  const data = (await phone.game?.wx.getUserInfo()) as { encryptedData: string; iv: string };
  const user = await client.profile.update({ encryptedData: data.encryptedData, iv: data.iv });
  assert.equal(user.nickname, '小明');
});

test('purchase_through_wechat_pay_and_consumption', { skip }, async () => {
  const client = start(phoneOf('buyer'));
  await client.login();
  const products = await client.payments.products();
  assert.ok(products.some(({ productId }) => productId === 'gems-60'));
  const result = await client.payments.pay('gems-60', 2);
  assert.equal(result.status, 'paid');
  assert.deepEqual(await client.payments.inventory(), [{ productId: 'gems-60', quantity: 2 }]);
  assert.deepEqual(await client.payments.consume('gems-60', 1, { key: 'use-1' }), {
    productId: 'gems-60',
    quantity: 1,
  });
  assert.deepEqual(await client.payments.consume('gems-60', 1, { key: 'use-1' }), {
    productId: 'gems-60',
    quantity: 1,
  });
  const { orders } = await client.payments.orders({ status: 'paid' });
  assert.equal(orders.length, 1);
});

test('cancelled_sheet_closes_the_order', { skip }, async () => {
  const phone = phoneOf('canceller');
  phone.payments.answer = () => ({ code: -2 });
  const client = start(phone);
  await client.login();
  const result = await client.payments.pay('gems-60', 1);
  assert.equal(result.status, 'cancelled');
  const { orders } = await client.payments.orders();
  assert.deepEqual(
    orders.map(({ status }) => status),
    ['closed'],
  );
});

test('lost_and_repeated_callbacks_grant_items_once', { skip }, async () => {
  await dev.sim('PUT', '/pay/callbacks', { mode: 'drop' });
  try {
    const client = start(phoneOf('patient'));
    await client.login();
    const ended: string[] = [];
    client.payments.onOrder(({ status }) => ended.push(status));
    const result = await client.payments.pay('gems-60', 1, { wait: 100 });
    assert.equal(result.status, 'pending');
    await dev.sim('PUT', '/pay/callbacks', { mode: 'normal' });
    const orderId = result.status === 'pending' ? result.orderId : '';
    const { callbacks } = (await dev.sim('GET', `/pay/callbacks?outTradeNo=${orderId}`)) as {
      callbacks: { id: string }[];
    };
    await dev.sim('POST', `/pay/callbacks/${callbacks[0]?.id}/repeat`, { copies: 5 });
    await within(10_000, async () => (ended.length > 0 ? ended : undefined));
    assert.deepEqual(ended, ['paid']);
    assert.deepEqual(await client.payments.inventory(), [{ productId: 'gems-60', quantity: 1 }]);
  } finally {
    await dev.sim('PUT', '/pay/callbacks', { mode: 'normal' });
  }
});

test('refund_takes_the_items', { skip }, async () => {
  const client = start(phoneOf('regretful'));
  await client.login();
  const result = await client.payments.pay('gems-60', 1);
  assert.equal(result.status, 'paid');
  const orderId = result.status === 'paid' ? result.order._id : '';
  await dev.admin('POST', `/admin/orders/${orderId}/refund`, { reason: 'bought by mistake' });
  await within(10_000, async () =>
    (await client.payments.order(orderId)).status === 'refunded' ? true : undefined,
  );
  assert.deepEqual(await client.payments.inventory(), []);
});

test('second_device_replaces_the_first', { skip }, async () => {
  const first = start(phoneOf('nomad'));
  await first.login();
  const seen: string[] = [];
  first.onSession(({ type }) => seen.push(type));
  const second = start(phoneOf('nomad'));
  await second.login();
  await assert.rejects(first.payments.inventory(), { code: 'SESSION_REPLACED' });
  assert.deepEqual(seen, ['replaced']);
  assert.deepEqual(await second.payments.inventory(), []);
});

test('outage_of_wechat_delays_a_sign_in', { skip }, async () => {
  await dev.sim('PUT', '/faults', { outage: 'reset', api: 'code2session' });
  const client = start(phoneOf('unlucky'));
  const user = client.login();
  await new Promise((resolve) => setTimeout(resolve, 7000));
  await dev.sim('DELETE', '/faults');
  assert.match((await user).openId, /^o/);
});

test('events_arrive_once_although_answers_are_lost', { skip }, async () => {
  const phone = phoneOf('analyst');
  let lost = 0;
  phone.network.fault = ({ url }) => (url.endsWith('/report') && lost++ < 1 ? 'lose-answer' : 'none');
  const client = start(phone);
  await client.login();
  for (let level = 0; level < 30; level++) client.events.track('e2e_level', { level });
  client.events.track('not valid');
  await within(15_000, async () => {
    await client.events.flush();
    return client.events.stats().queued === 0 || undefined;
  });
  assert.ok(lost >= 2);
  const count = await within(10_000, async () => {
    const { events } = (await dev.admin('GET', '/admin/stats/events?eventName=e2e_level')) as {
      events: { count: number }[];
    };
    return events[0]?.count === 30 ? events[0].count : undefined;
  });
  assert.equal(count, 30);
});

test('group_of_a_card_is_decrypted', { skip }, async () => {
  const phone = phoneOf('grouped');
  world.group('tGroup_1', ['grouped']);
  const game = phone.launch({ scene: 1044, shareTicket: world.ticket('tGroup_1') });
  const client = createClient({ baseUrl: ORIGIN, host: game.host });
  await client.login();
  const group = await new Promise<string>((resolve, reject) =>
    client.social.onEntry((entry) => void client.social.group(entry).then(resolve, reject)),
  );
  assert.equal(group, 'tGroup_1');
});
