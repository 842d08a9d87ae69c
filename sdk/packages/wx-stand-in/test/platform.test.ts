import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulatorPlatform, VirtualClock, World, type NetworkRequest } from '../src/index.js';
import { call, setUp } from './support.js';

const DATA = {
  mode: 'goods',
  offerId: '1',
  buyQuantity: 1,
  env: 0,
  currencyType: 'CNY',
  zoneId: '1',
  productId: 'p',
  goodsPrice: 6,
  outTradeNo: 'order-1',
};

function pay(setup: ReturnType<typeof setUp>, data: object, extra: object = {}) {
  const options = { signData: JSON.stringify(data), paySig: 'p', signature: 's', ...extra };
  return setup.clock.until(call(setup.wx.requestMidasPaymentGameItem, options));
}

test('login_has_callbacks_and_a_promise', async () => {
  const { clock, phone, wx } = setUp();
  assert.equal((await clock.until(call(wx.login)))['code'], 'sim-alice');
  assert.equal((await clock.until(wx.login() as Promise<{ code: string }>)).code, 'sim-alice');
  phone.network.type = 'none';
  assert.equal((await clock.until(call(wx.login))).errMsg, 'login:fail net');
  assert.equal(phone.logins, 3);
});

test('payment_sheet_pays_through_the_platform', async () => {
  const setup = setUp();
  assert.equal((await pay(setup, DATA)).errMsg, 'requestMidasPaymentGameItem:ok');
  assert.equal(setup.phone.payments.sheets.length, 1);
});

test('payment_parameters_are_checked_with_wechats_codes', async () => {
  const cases: [object, object, number][] = [
    [DATA, { signData: DATA }, -15011],
    [DATA, { paySig: '' }, -15001],
    [DATA, { signData: '{' }, -15002],
    [{ ...DATA, offerId: undefined }, {}, -15001],
    [{ ...DATA, zoneId: undefined }, {}, 1000],
    [{ ...DATA, productId: undefined }, {}, -15001],
    [{ ...DATA, outTradeNo: '_x' }, {}, -15002],
    [{ ...DATA, outTradeNo: 'x'.repeat(33) }, {}, -15002],
    [{ ...DATA, env: 1 }, {}, -15010],
    [{ ...DATA, mode: 'coins', buyQuantity: 7, goodsPrice: 10 }, {}, -15002],
  ];
  for (const [data, extra, code] of cases) {
    assert.equal((await pay(setUp(), data, extra)).errCode, code, JSON.stringify([data, extra]));
  }
  assert.equal(
    (await pay(setUp(), { ...DATA, mode: 'coins', buyQuantity: 60, goodsPrice: 10 })).errCode,
    undefined,
  );
});

test('every_code_of_the_sheet_can_be_answered', async () => {
  for (const code of [
    -2, 1, 7, 2, -1, 5, 6, 3, 4, -6, 1000, -15003, -15004, -15005, -15009, -15015, -15017, 1001, 701001,
  ]) {
    const setup = setUp();
    setup.phone.payments.answer = () => ({ code });
    assert.equal((await pay(setup, DATA)).errCode, code);
  }
});

test('one_payment_sheet_is_open_at_a_time', async () => {
  const setup = setUp();
  setup.phone.payments.answer = () => new Promise(() => undefined);
  void pay(setup, DATA).catch(() => undefined);
  assert.equal((await pay(setup, DATA)).errCode, 2);
});

test('iphones_pay_from_ios_15_and_3_10_3_on', async () => {
  for (const [options, allowed] of [
    [{ platform: 'ios' }, true],
    [{ platform: 'ios', system: 'iOS 14.8' }, false],
    [{ platform: 'ios', clientVersion: '8.0.67' }, false],
    [{ platform: 'android' }, true],
    [{ platform: 'windows' }, true],
  ] as const) {
    const setup = setUp(options);
    const support = await setup.clock.until(call(setup.wx.checkIsSupportMidasPayment));
    assert.equal((support['data'] as { allow_pay: boolean }).allow_pay, allowed);
    assert.equal((await pay(setup, DATA)).errCode, allowed ? undefined : 701001);
  }
});

test('profile_needs_consent_and_a_refusal_stays', async () => {
  const { clock, phone, wx } = setUp();
  const button = wx.createUserInfoButton({ style: {} });
  const results: string[] = [];
  button.onTap(({ errMsg }) => results.push(errMsg));
  phone.consents.ask = () => 'refuse';
  await button.tap();
  phone.consents.ask = () => 'accept';
  await button.tap();
  assert.deepEqual(results, ['getUserInfo:fail auth deny', 'getUserInfo:fail auth deny']);
  const setting = await clock.until(call(wx.getSetting));
  assert.deepEqual(setting['authSetting'], { 'scope.userInfo': false });
});

test('privacy_gate_waits_for_the_games_answer', async () => {
  const { clock, phone, wx } = setUp();
  phone.consents.privacyNeeded = true;
  const asked: string[] = [];
  wx.onNeedPrivacyAuthorization((resolve, { referrer }) => {
    asked.push(referrer);
    resolve({ event: 'exposureAuthorization' });
    resolve({ event: asked.length === 1 ? 'disagree' : 'agree' });
  });
  assert.match((await clock.until(call(wx.getUserInfo))).errMsg, /privacy permission/);
  assert.equal((await clock.until(call(wx.getUserInfo))).errMsg, 'getUserInfo:ok');
  assert.equal(asked.length, 2);
  phone.consents.privacyDeclared = false;
  assert.match((await clock.until(call(wx.getUserInfo))).errMsg, /not declared/);
});

test('share_picker_reports_nothing_and_repeats_the_entry', async () => {
  const { clock, world, phone, game } = setUp();
  world.group('g1', ['alice', 'bob']);
  phone.sharing.picker = () => ({ group: 'g1' });
  const shown: number[] = [];
  game.wx.onShow(({ scene }) => shown.push(scene));
  game.wx.showShareMenu({ withShareTicket: true });
  assert.equal(game.wx.shareAppMessage({ title: 'T', query: 'a=1' }), undefined);
  await clock.advance(10);
  assert.deepEqual(shown, [1001]);
  const bob = world.phone({ player: 'bob' });
  const entry = bob.open(phone.sharing.cards[0] as never).wx.getLaunchOptionsSync();
  assert.deepEqual([entry.scene, entry.query, typeof entry.shareTicket], [1044, { a: '1' }, 'string']);
});

test('menu_share_uses_what_is_at_hand_after_3_s', async () => {
  const { clock, phone, game } = setUp();
  phone.sharing.picker = () => ({ friend: 'bob' });
  game.wx.onShareAppMessage(() => ({ title: 'at hand', promise: new Promise(() => undefined) }));
  assert.equal(await clock.until(phone.sharing.tapMenu(game.life)), undefined);
  game.wx.showShareMenu();
  assert.equal((await clock.until(phone.sharing.tapMenu(game.life)))?.title, 'at hand');
});

test('subscribe_panel_has_wechats_errors', async () => {
  const setup = setUp();
  const ask = (tmplIds: unknown) => setup.clock.until(call(setup.wx.requestSubscribeMessage, { tmplIds }));
  assert.equal((await ask([])).errCode, 10001);
  assert.equal((await ask([7])).errCode, 10004);
  assert.equal((await ask(['a', 'b', 'c', 'd'])).errCode, 20003);
  setup.phone.subscriptions.mainSwitch = false;
  assert.equal((await ask(['a'])).errCode, 20004);
  setup.phone.subscriptions.mainSwitch = true;
  setup.phone.subscriptions.panel = () => ({ a: 'accept', b: 'reject' });
  const result = await ask(['a', 'b']);
  assert.deepEqual([result['a'], result['b']], ['accept', 'reject']);
  setup.phone.background();
  const hidden = call(setup.wx.requestSubscribeMessage, { tmplIds: ['a'] });
  setup.phone.foreground();
  assert.equal((await setup.clock.until(hidden)).errCode, 10005);
});

test('hosted_values_are_texts_of_limited_size', async () => {
  const { clock, world, wx } = setUp();
  const store = (list: unknown) => clock.until(call(wx.setUserCloudStorage, { KVDataList: list }));
  assert.match((await store([{ key: 'a', value: 1 }])).errMsg, /string/);
  assert.match((await store([{ key: 'k'.repeat(129), value: '' }])).errMsg, /key too long/);
  assert.match((await store([{ key: 'a', value: 'x'.repeat(1024) }])).errMsg, /too long/);
  assert.equal((await store([{ key: 'a', value: '1' }])).errMsg, 'setUserCloudStorage:ok');
  assert.equal(world.player('alice').hosted.get('a'), '1');
});

test('simulator_judges_virtual_payments', async () => {
  const sent: NetworkRequest[] = [];
  let errCode: number | undefined = -15015;
  const platform = simulatorPlatform('http://127.0.0.1:8090', 'wx1', (request) => {
    sent.push(request);
    return Promise.resolve({ statusCode: 200, header: {}, body: JSON.stringify({ errCode }) });
  });
  const clock = new VirtualClock();
  const world = new World({ clock, platform });
  const setup = {
    ...setUp(),
    clock,
    world,
    wx: world.phone({ player: 'alice', platform: 'ios' }).launch().wx,
  };
  assert.equal((await pay(setup, DATA)).errCode, -15015);
  errCode = undefined;
  assert.equal((await pay(setup, DATA)).errMsg, 'requestMidasPaymentGameItem:ok');
  assert.equal(sent[0]?.url, 'http://127.0.0.1:8090/_sim/vpay/request-midas-payment-game-item');
  const body = JSON.parse(sent[0]?.body as string) as Record<string, unknown>;
  assert.equal(body['signData'], JSON.stringify(DATA));
  assert.deepEqual(body['device'], {
    platform: 'ios',
    build: 'release',
    iosVersion: '17.0',
    clientVersion: '8.0.70',
    libraryVersion: '3.15.2',
  });
});
