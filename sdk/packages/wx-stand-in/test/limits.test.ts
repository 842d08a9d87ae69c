/** Refusals of WeChat that the other files do not show. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RealmGlobals } from '../src/index.js';
import { call, setUp } from './support.js';

/** A phone whose open data context is this test. */
function withContext(options: Parameters<typeof setUp>[0] = {}) {
  let inner: RealmGlobals | undefined;
  const realm = () => ({
    drawing: {
      createCanvas: (width: number, height: number) => ({ width, height, getContext: () => ({}) }),
      createImage: () => ({}),
    },
    start: (globals: RealmGlobals) => {
      inner = globals;
    },
  });
  const setup = setUp({ realm, ...options });
  setup.wx.getOpenDataContext();
  const context = (inner as unknown as RealmGlobals).wx as {
    [name: string]: (options: object) => unknown;
  };
  const ask = (name: string, parameters: object) =>
    setup.clock.until(call(context[name] as (options: object) => unknown, parameters));
  return { ...setup, ask, context };
}

test('player_hosts_at_most_128_values', async () => {
  const { clock, wx } = setUp();
  const list = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ key: `k${index}`, value: '1' }));
  const store = (count: number) => clock.until(call(wx.setUserCloudStorage, { KVDataList: list(count) }));
  assert.equal((await store(128)).errMsg, 'setUserCloudStorage:ok');
  assert.match((await store(129)).errMsg, /too many keys/);
});

test('hosted_values_are_measured_in_bytes', async () => {
  const { clock, wx } = setUp();
  const store = (key: string, value: string) =>
    clock.until(call(wx.setUserCloudStorage, { KVDataList: [{ key, value }] }));
  assert.equal((await store('漢'.repeat(42), '')).errMsg, 'setUserCloudStorage:ok');
  assert.match((await store('漢'.repeat(43), '')).errMsg, /key too long/);
  assert.equal((await store('a', '漢'.repeat(341))).errMsg, 'setUserCloudStorage:ok');
  assert.match((await store('a', '漢'.repeat(342))).errMsg, /key-value too long/);
});

test('failures_have_an_errno_from_2_24_0_on', async () => {
  for (const [baseLibrary, known] of [
    ['2.23.9', false],
    ['2.24.0', true],
  ] as const) {
    const { clock, phone, wx } = setUp({ baseLibrary });
    phone.consents.ask = () => 'refuse';
    const failed = await clock.until(call(wx.getUserInfo));
    assert.equal(failed.errMsg, 'getUserInfo:fail auth deny');
    assert.equal('errno' in failed, known, `getUserInfo in ${baseLibrary}`);
    const rejected = (await clock.until(
      (wx.getUserInfo() as Promise<object>).catch((error: object) => error),
    )) as object;
    assert.equal('errno' in rejected, known, `its promise in ${baseLibrary}`);
    phone.network.fault = () => 'hang';
    const url = 'https://wx.example.com/x';
    const late = await clock.until(
      new Promise<object>((resolve) => wx.request({ url, timeout: 10, complete: resolve })),
    );
    assert.equal('errno' in late, known, `request in ${baseLibrary}`);
  }
});

test('calls_of_the_context_are_absent_below_their_base_library', () => {
  const inside = (baseLibrary: string): string[] => Object.keys(withContext({ baseLibrary }).context);
  const calls = ['getSharedCanvas', 'getFriendCloudStorage', 'getGroupCloudStorage', 'getUserCloudStorage'];
  for (const name of calls) assert.ok(inside('1.9.92').includes(name), name);
  // Below it, nothing opens a context.
  assert.equal(setUp({ baseLibrary: '1.9.91' }).wx.getOpenDataContext, undefined);
});

test('expired_session_key_fails_check_session', async () => {
  const { clock, phone, wx } = setUp();
  assert.equal((await clock.until(call(wx.checkSession))).errMsg, 'checkSession:ok');
  phone.sessionKeyValid = false;
  assert.match((await clock.until(call(wx.checkSession))).errMsg, /expired/);
  await clock.until(call(wx.login));
  assert.equal((await clock.until(call(wx.checkSession))).errMsg, 'checkSession:ok');
});

test('group_is_known_only_after_an_entry_from_it', async () => {
  const { clock, world, phone, wx } = setUp();
  assert.match((await clock.until(call(wx.getGroupEnterInfo))).errMsg, /not entered from a group/);
  world.group('g1', ['alice']);
  const game = phone.launch({ scene: 1044, shareTicket: world.ticket('g1') });
  assert.equal(typeof (await clock.until(call(game.wx.getGroupEnterInfo)))['encryptedData'], 'string');
});

test('cards_carry_a_ticket_only_to_groups_and_if_asked', async () => {
  const { clock, world, phone, game } = setUp();
  world.group('g1', ['alice', 'bob']);
  const bob = world.phone({ player: 'bob' });
  const send = async (target: { friend: string } | { group: string }, withShareTicket: boolean) => {
    game.wx.showShareMenu({ withShareTicket });
    phone.sharing.picker = () => target;
    game.wx.shareAppMessage({ title: 'T' });
    await clock.advance(10);
    bob.kill();
    const { scene, shareTicket } = bob.open(phone.sharing.cards.at(-1) as never).wx.getLaunchOptionsSync();
    return [scene, typeof shareTicket];
  };
  assert.deepEqual(await send({ friend: 'bob' }, true), [1007, 'undefined']);
  assert.deepEqual(await send({ group: 'g1' }, false), [1008, 'undefined']);
  assert.deepEqual(await send({ group: 'g1' }, true), [1044, 'string']);
});

test('subscribe_panel_needs_a_tap', async () => {
  const { clock, phone, wx } = setUp();
  phone.subscriptions.gesture = false;
  const refused = await clock.until(call(wx.requestSubscribeMessage, { tmplIds: ['a'] }));
  assert.match(refused.errMsg, /TAP gesture/);
});

test('friends_without_values_are_absent', async () => {
  const { world, wx, clock, ask } = withContext();
  world.befriend('alice', 'bob');
  world.befriend('alice', 'carol');
  world.player('bob').hosted.set('score', '1');
  await clock.until(call(wx.setUserCloudStorage, { KVDataList: [{ key: 'other', value: '1' }] }));
  const { data } = await ask('getFriendCloudStorage', { keyList: ['score'] });
  assert.deepEqual(
    (data as { nickname: string; KVDataList: unknown[] }[]).map(({ nickname, KVDataList }) => [
      nickname,
      KVDataList.length,
    ]),
    [
      [world.player('alice').nickname, 0],
      [world.player('bob').nickname, 1],
    ],
  );
});

test('friends_need_consent_and_a_refusal_stays', async () => {
  const { phone, ask } = withContext();
  phone.consents.ask = () => 'refuse';
  assert.match((await ask('getFriendCloudStorage', { keyList: [] })).errMsg, /auth deny/);
  phone.consents.ask = () => 'accept';
  assert.match((await ask('getGroupCloudStorage', { keyList: [] })).errMsg, /auth deny/);
  assert.equal((await ask('getUserInfo', {})).errMsg, 'getUserInfo:ok');
});

test('group_values_need_a_known_ticket_or_group', async () => {
  const { world, ask } = withContext();
  world.group('g1', ['alice', 'bob']);
  world.player('bob').hosted.set('score', '1');
  const rows = async (from: object) =>
    ((await ask('getGroupCloudStorage', { keyList: ['score'], ...from }))['data'] as unknown[]).length;
  assert.equal(await rows({ shareTicket: world.ticket('g1') }), 1);
  assert.equal(await rows({ groupid: 'g1' }), 1);
  assert.match((await ask('getGroupCloudStorage', { shareTicket: 'x' })).errMsg, /invalid shareTicket/);
});

test('first_call_fixes_the_mode_of_the_shared_canvas', () => {
  const { game, wx } = withContext();
  wx.getOpenDataContext({ sharedCanvasMode: 'screenCanvas' });
  assert.equal(game.openData.mode, 'offscreenCanvas');
});

test('phone_without_a_context_refuses_to_open_one', () => {
  const { wx } = setUp();
  assert.throws(() => wx.getOpenDataContext(), /no open data context/);
});

test('coins_are_sold_in_tiers_and_names_of_orders_checked', async () => {
  const { clock, wx } = setUp();
  const data = {
    mode: 'game',
    offerId: '1',
    env: 0,
    currencyType: 'CNY',
    platform: 'android',
    zoneId: '1',
    buyQuantity: 10,
    outTradeNo: 'order-1',
  };
  const pay = async (change: object) =>
    (await clock.until(call(wx.requestMidasPayment, { ...data, ...change }))).errCode;
  assert.equal(await pay({}), undefined);
  assert.equal(await pay({ offerId: undefined }), -15001);
  assert.equal(await pay({ outTradeNo: '#' }), -15002);
});

test('iphones_have_no_sandbox', async () => {
  const { clock, wx } = setUp({ platform: 'ios', envVersion: 'develop' });
  const signData = JSON.stringify({
    mode: 'goods',
    offerId: '1',
    buyQuantity: 1,
    env: 1,
    currencyType: 'CNY',
    zoneId: '1',
    productId: 'p',
    goodsPrice: 6,
    outTradeNo: 'order-1',
  });
  const options = { signData, paySig: 'p', signature: 's' };
  assert.equal((await clock.until(call(wx.requestMidasPaymentGameItem, options))).errCode, 701001);
});

test('wechat_pay_reports_no_code_when_it_is_cancelled', async () => {
  const { clock, phone, wx } = setUp();
  const parameters = { timeStamp: '1', nonceStr: 'n', package: 'prepay_id=1', paySign: 's' };
  assert.match((await clock.until(call(wx.requestPayment, { timeStamp: 1 }))).errMsg, /parameter error/);
  phone.payments.answer = () => ({ code: -2 });
  const cancelled = await clock.until(call(wx.requestPayment, parameters));
  assert.deepEqual([cancelled.errMsg, cancelled.errCode], ['requestPayment:fail cancel', undefined]);
});

test('requests_have_no_promise_form', () => {
  const { wx } = setUp();
  const task = wx.request({ url: 'https://wx.example.com/x' });
  assert.equal(typeof task.abort, 'function');
  assert.equal((task as { then?: unknown }).then, undefined);
});
