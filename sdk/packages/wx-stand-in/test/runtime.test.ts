import assert from 'node:assert/strict';
import { test } from 'node:test';
import { macrotaskPromise, SINCE, VirtualClock } from '../src/index.js';
import { call, setUp } from './support.js';

const URL = 'https://wx.example.com/x';

test('ten_requests_run_and_the_rest_wait', async () => {
  const { clock, phone, game, wx } = setUp();
  phone.network.latency = 1000;
  let done = 0;
  for (let index = 0; index < 25; index++) wx.request({ url: URL, success: () => done++ });
  await clock.advance(1000);
  assert.equal(done, 10);
  await clock.advance(2000);
  assert.equal(done, 25);
  assert.equal(game.requests.peak, 10);
});

test('request_times_out_after_60_s_at_most', async () => {
  const { clock, phone, wx } = setUp();
  phone.network.fault = () => 'hang';
  const begun = clock.now();
  assert.equal(
    (await clock.until(call(wx.request, { url: URL, timeout: 3000 }))).errMsg,
    'request:fail timeout',
  );
  assert.equal(clock.now() - begun, 3000);
  assert.equal(
    (await clock.until(call(wx.request, { url: URL, timeout: 90_000 }))).errMsg,
    'request:fail timeout',
  );
  assert.equal(clock.now() - begun, 63_000);
});

test('aborted_request_fails_and_frees_its_slot', async () => {
  const { clock, phone, wx } = setUp();
  phone.network.fault = () => 'hang';
  const failures: string[] = [];
  const tasks = Array.from({ length: 10 }, () =>
    wx.request({ url: URL, fail: ({ errMsg }) => failures.push(errMsg) }),
  );
  await clock.advance(50);
  phone.network.fault = () => 'none';
  const eleventh = call(wx.request, { url: URL });
  tasks[0]?.abort();
  assert.equal((await clock.until(eleventh))['statusCode'], 200);
  assert.deepEqual(failures, ['request:fail abort']);
});

test('every_status_is_a_success', async () => {
  const { clock, wx } = setUp({}, () =>
    Promise.resolve({ statusCode: 503, header: { a: 'b' }, body: '{"x":1}' }),
  );
  const result = await clock.until(call(wx.request, { url: URL }));
  assert.deepEqual([result['statusCode'], result['data'], result['header']], [503, { x: 1 }, { a: 'b' }]);
});

test('bodies_are_converted_as_wechat_does', async () => {
  const { clock, phone, wx } = setUp();
  await clock.until(call(wx.request, { url: URL, data: { a: 1, b: 'x y' } }));
  await clock.until(call(wx.request, { url: URL, method: 'POST', data: { a: 1 } }));
  await clock.until(
    call(wx.request, { url: URL, method: 'POST', data: '{"a": 1}', header: { Referer: 'x', 'X-A': 1 } }),
  );
  const [get, post, text] = phone.network.sent;
  assert.equal(get?.url, `${URL}?a=1&b=x%20y`);
  assert.equal(post?.body, '{"a":1}');
  assert.equal(text?.body, '{"a": 1}');
  assert.deepEqual(text?.header, { 'content-type': 'application/json', 'x-a': '1' });
});

test('unregistered_domain_is_refused', async () => {
  const { clock, wx } = setUp({ domains: ['https://wx.example.com'] });
  assert.equal((await clock.until(call(wx.request, { url: URL })))['statusCode'], 200);
  for (const url of [
    'https://wx.example.com:443/x',
    'http://wx.example.com/x',
    'https://other.example.com/x',
  ]) {
    assert.equal(
      (await clock.until(call(wx.request, { url }))).errMsg,
      'request:fail url not in domain list',
    );
  }
});

test('background_interrupts_requests_after_5_s_and_freezes_timers', async () => {
  const { clock, phone, game, wx } = setUp();
  phone.network.latency = 4000;
  const seen: string[] = [];
  wx.request({ url: URL, success: () => seen.push('fast') });
  phone.network.latency = 9000;
  wx.request({ url: URL, fail: ({ errMsg }) => seen.push(errMsg) });
  game.host.setTimeout(() => seen.push('timer 4 s'), 4500);
  game.host.setTimeout(() => seen.push('timer 6 s'), 6000);
  phone.background();
  await clock.advance(200);
  wx.request({ url: URL, fail: ({ errMsg }) => seen.push(`new: ${errMsg}`) });
  await clock.advance(60_000);
  assert.deepEqual(seen, ['new: request:fail interrupted', 'fast', 'timer 4 s']);
  phone.foreground();
  await clock.advance(0);
  assert.deepEqual(seen.slice(3).sort(), ['request:fail interrupted', 'timer 6 s']);
});

test('killed_game_hears_nothing_and_writes_nothing', async () => {
  const { clock, phone, game, wx } = setUp();
  const seen: string[] = [];
  wx.request({ url: URL, success: () => seen.push('answer') });
  game.host.setTimeout(() => seen.push('timer'), 10);
  wx.onHide(() => seen.push('hide'));
  phone.kill();
  await clock.advance(10_000);
  assert.deepEqual(seen, []);
  assert.throws(() => wx.setStorageSync('a', 1), /killed/);
  assert.deepEqual(phone.storage.keys(), []);
});

test('entries_are_reported_cold_and_hot', () => {
  const { phone } = setUp();
  const game = phone.launch({ scene: 1011, query: { a: '1' } });
  const shown: number[] = [];
  game.wx.onShow(({ scene }) => shown.push(scene));
  assert.deepEqual(game.wx.getLaunchOptionsSync(), { scene: 1011, query: { a: '1' } });
  phone.background();
  phone.foreground({ scene: 1007, query: {} });
  assert.deepEqual(shown, [1007]);
  assert.equal(game.wx.getEnterOptionsSync().scene, 1007);
  assert.equal(game.wx.getLaunchOptionsSync().scene, 1011);
});

test('off_show_without_a_listener_removes_all', () => {
  const { phone, wx } = setUp();
  const seen: string[] = [];
  const second = (): void => void seen.push('second');
  wx.onShow(() => seen.push('first'));
  wx.onShow(second);
  wx.offShow(second);
  phone.background();
  phone.foreground();
  wx.offShow();
  phone.background();
  phone.foreground();
  assert.deepEqual(seen, ['first']);
});

test('calls_are_absent_below_their_base_library', () => {
  for (const [name, since] of Object.entries(SINCE)) {
    const [major = 0, minor = 0, patch = 0] = since.split('.').map(Number);
    const below =
      patch > 0
        ? `${major}.${minor}.${patch - 1}`
        : minor > 0
          ? `${major}.${minor - 1}.99`
          : `${major - 1}.99.99`;
    const newest = setUp({ baseLibrary: since }).wx as unknown as Record<string, unknown>;
    const older = setUp({ baseLibrary: below }).wx as unknown as Record<string, unknown>;
    assert.equal(older[name], undefined, `${name} in ${below}`);
    if (name in setUp().wx) assert.equal(typeof newest[name], 'function', `${name} in ${since}`);
  }
});

test('device_facts_follow_the_platform', () => {
  const { wx } = setUp({ platform: 'ios', envVersion: 'trial' });
  assert.deepEqual([wx.getDeviceInfo().platform, wx.getDeviceInfo().system], ['ios', 'iOS 17.0']);
  assert.deepEqual(wx.getAccountInfoSync().miniProgram, {
    appId: 'wx0123456789abcdef',
    envVersion: 'trial',
    version: '',
  });
  assert.equal(wx.getSystemInfoSync().devicePixelRatio, 3);
});

test('network_changes_are_reported', async () => {
  const { clock, phone, wx } = setUp();
  const seen: unknown[] = [];
  wx.onNetworkStatusChange((status) => seen.push(status));
  phone.network.type = 'none';
  phone.network.type = '5g';
  assert.deepEqual(seen, [
    { isConnected: false, networkType: 'none' },
    { isConnected: true, networkType: '5g' },
  ]);
  assert.equal((await clock.until(call(wx.getNetworkType)))['networkType'], '5g');
});

test('macrotask_promise_runs_after_earlier_timers', async () => {
  const clock = new VirtualClock();
  const Late = macrotaskPromise((run, delay) => clock.setTimeout(run, delay));
  const seen: string[] = [];
  clock.setTimeout(() => seen.push('timer'), 0);
  Late.resolve(1)
    .then((value) => {
      seen.push(`then ${value}`);
      throw new Error('x');
    })
    .catch((error: Error) => seen.push(error.message));
  Late.all([Late.resolve(1), 2]).then((values) => seen.push(values.join()));
  Late.race([new Late(() => undefined), Late.resolve(3)]).then((value) => seen.push(String(value)));
  Late.reject(new Error('y')).then(undefined, (error: Error) => seen.push(error.message));
  await clock.advance(10);
  assert.equal(seen[0], 'timer');
  assert.deepEqual(seen.slice().sort(), ['1,2', '3', 'then 1', 'timer', 'x', 'y']);
});
