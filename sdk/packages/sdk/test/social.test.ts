import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Game, Phone, ShareCard } from '@avalon-wx/wx-stand-in';
import { problem } from './support/fake-service.js';
import { QUIET, rejection, setUp } from './support/setup.js';

async function signedIn(options: Parameters<typeof setUp>[0] = {}, entry: object = {}) {
  const setup = setUp(options);
  const client = setup.start({}, entry);
  await setup.clock.until(client.login());
  return { ...setup, client };
}

/** Taps "share" in the menu. */
function tap(phone: Phone): Promise<ShareCard | undefined> {
  return phone.sharing.tapMenu((phone.game as Game).life);
}

test('share_appends_its_query_to_the_games', async () => {
  const { clock, client, phone, service } = await signedIn();
  phone.sharing.picker = () => ({ friend: 'bob' });
  const card = await clock.until(client.social.share('level', { query: 'level=3&x=1', title: 'Mine' }));
  await clock.advance(500);
  assert.deepEqual(
    {
      title: phone.sharing.cards[0]?.title,
      imageUrl: phone.sharing.cards[0]?.imageUrl,
      query: phone.sharing.cards[0]?.query,
    },
    {
      title: 'Mine',
      imageUrl: 'https://img/1.png',
      query: `level=3&x=1&shareId=${card?.shareId}&inviteCode=code-1`,
    },
  );
  assert.deepEqual(service.tracked, [{ shareId: card?.shareId, event: 'shown' }]);
  await clock.advance(6000);
  assert.deepEqual(
    [...service.events.values()].map(({ eventName }) => eventName),
    ['$share'],
  );
});

test('share_opens_the_picker_without_the_service', async () => {
  const { clock, client, phone, service } = await signedIn();
  service.override = (_request, path) =>
    path === '/api/wx/share' ? problem(503, 'STORE_UNAVAILABLE') : undefined;
  phone.sharing.picker = () => ({ friend: 'bob' });
  assert.equal(await clock.until(client.social.share('level', { title: 'T', query: 'a=1' })), undefined);
  assert.deepEqual([phone.sharing.cards[0]?.title, phone.sharing.cards[0]?.query], ['T', 'a=1']);
});

test('menu_share_has_a_prepared_card', async () => {
  const { clock, client, phone } = await signedIn();
  phone.sharing.picker = () => ({ friend: 'bob' });
  client.social.enableShareMenu('menu', () => ({ query: 'level=4' }));
  await clock.advance(1000);
  const card = await clock.until(tap(phone));
  assert.equal(card?.title, 'Title of menu');
  assert.match(card?.query as string, /^level=4&shareId=share-\d+&inviteCode=code-1$/);
  const next = await clock.until(tap(phone));
  assert.notEqual(next?.query, card?.query);
});

test('menu_share_answers_within_3_s_without_the_service', async () => {
  const { clock, client, phone } = await signedIn();
  phone.network.fault = ({ url }) => (url.endsWith('/share') ? 'hang' : 'none');
  phone.sharing.picker = () => ({ friend: 'bob' });
  client.social.enableShareMenu('menu', () => ({ title: 'At hand', query: 'level=4' }));
  const begun = clock.now();
  const card = await clock.until(tap(phone));
  assert.ok(clock.now() - begun < 3000);
  assert.deepEqual([card?.title, card?.query], ['At hand', 'level=4']);
});

test('entry_is_reported_once_cold_and_hot_but_not_after_the_picker', async () => {
  const { clock, client, phone, service } = await signedIn(
    {},
    { scene: 1007, query: { shareId: 's1', inviteCode: 'c1' } },
  );
  const seen: string[] = [];
  client.social.onEntry(({ cold, shareId, scene }) =>
    seen.push(`${cold ? 'cold' : 'hot'} ${scene} ${shareId}`),
  );
  await clock.advance(100);
  phone.sharing.picker = () => ({ friend: 'bob' });
  await clock.until(client.social.share('level'));
  await clock.advance(1000);
  phone.background();
  phone.foreground({ scene: 1008, query: { shareId: 's2' } });
  phone.background();
  phone.foreground({ scene: 1001, query: {} });
  await clock.advance(1000);
  assert.deepEqual(seen, ['cold 1007 s1', 'hot 1008 s2', 'hot 1001 undefined']);
  const opened = service.tracked.filter(({ event }) => event === 'opened').map(({ shareId }) => shareId);
  assert.deepEqual(opened, ['s1', 's2']);
});

test('foreign_values_in_a_query_are_no_tokens', async () => {
  const { clock, client } = await signedIn({}, { query: { shareId: '<x>', inviteCode: 'y'.repeat(65) } });
  let entry: unknown;
  client.social.onEntry((value) => (entry = value));
  await clock.advance(100);
  assert.deepEqual(entry, { scene: 1001, query: { shareId: '<x>', inviteCode: 'y'.repeat(65) }, cold: true });
});

test('group_of_a_card_is_reported_without_further_code', async () => {
  const setup = setUp();
  setup.world.group('g1', ['alice']);
  const client = setup.start(
    {},
    { scene: 1044, query: { shareId: 's1' }, shareTicket: setup.world.ticket('g1') },
  );
  await setup.clock.until(client.login());
  await setup.clock.advance(1000);
  assert.equal(setup.service.count('/api/wx/share/group'), 1);
  let id = '';
  client.social.onEntry((entry) => void client.social.group(entry).then((group) => (id = group)));
  await setup.clock.advance(1000);
  assert.equal(id, 'g1');
});

test('subscribe_returns_and_reports_every_answer', async () => {
  const { clock, client, phone, service } = await signedIn();
  phone.subscriptions.panel = () => ({ t1: 'accept', t2: 'reject', t3: 'ban' });
  const results = await clock.until(client.social.subscribe(['t1', 't2', 't3']));
  assert.deepEqual(results, { t1: 'accept', t2: 'reject', t3: 'ban' });
  await clock.advance(1000);
  const body = service.requests.find(({ path }) => path === '/api/wx/subscriptions')?.body;
  assert.deepEqual(JSON.parse(body as string), { results });
  assert.equal((await rejection(client.social.subscribe([]))).code, 'ARGUMENT_INVALID');
  phone.subscriptions.mainSwitch = false;
  const refused = (await clock.until(rejection(client.social.subscribe(['t1'])))) as never as {
    wxCode: number;
  };
  assert.equal(refused.wxCode, 20004);
});

test('old_base_libraries_lack_features_and_say_so', async () => {
  const { clock, client } = await signedIn({ baseLibrary: '1.9.0' });
  assert.equal((await clock.until(rejection(client.social.subscribe(['t'])))).code, 'UNSUPPORTED');
  assert.throws(() => client.friends.show({ x: 0, y: 0, width: 1, height: 1 }, { key: 'k' }), {
    code: 'UNSUPPORTED',
  });
  client.social.enableShareMenu('menu');
  client.events.track('ok');
  assert.equal((await clock.until(client.payments.products())).length, 1);
});

test('invites_and_rewards_are_read', async () => {
  const { clock, client } = await signedIn();
  const { inviteCode, invited, rewards } = await clock.until(client.social.invites());
  assert.equal(inviteCode, 'code-1');
  assert.deepEqual(
    invited.map(({ state }) => state),
    ['rewarded'],
  );
  const page = await clock.until(client.social.rewards({ limit: 5 }));
  assert.deepEqual(page, { rewards, nextCursor: null });
  assert.deepEqual(page.rewards[0]?.items, [{ productId: 'gems', quantity: 1 }]);
});

test('score_run_and_leaderboard', async () => {
  const { clock, client, service } = await signedIn();
  const run = await clock.until(client.scores.run('speed'));
  const result = await clock.until(
    client.scores.score('speed', 12, { runId: run.runId, extra: { level: 3 } }),
  );
  assert.deepEqual(result, { accepted: true, best: 12, rank: 1 });
  const board = await clock.until(
    client.scores.leaderboard('speed', { around: 'me', limit: 10, group: 'g 1' }),
  );
  assert.equal(board.entries.length, 1);
  assert.equal(service.requests.at(-1)?.path, '/api/wx/leaderboard/speed?around=me&limit=10&group=g%201');
});

test('offline_score_is_kept_and_sent_in_order', async () => {
  const { clock, client, phone, service, start } = await signedIn();
  phone.network.type = 'none';
  assert.equal(await clock.until(client.scores.score('speed', 1, { keepOffline: true })), undefined);
  assert.equal(await clock.until(client.scores.score('speed', 2, { keepOffline: true })), undefined);
  assert.equal((await clock.until(rejection(client.scores.score('speed', 3)))).code, 'NETWORK');
  phone.network.type = 'wifi';
  start();
  await clock.advance(2000);
  assert.deepEqual(
    service.scores.map(({ score }) => score),
    [1, 2],
  );
});

test('score_that_the_service_refuses_is_not_kept', async () => {
  const { clock, client, service } = await signedIn();
  service.override = (_request, path) =>
    path === '/api/wx/score' ? problem(422, 'FIELD_INVALID') : undefined;
  assert.equal(
    (await clock.until(rejection(client.scores.score('speed', 1, { keepOffline: true })))).code,
    'FIELD_INVALID',
  );
  assert.equal((await rejection(client.scores.score('speed', NaN))).code, 'ARGUMENT_INVALID');
});

test('second_client_is_the_first_one', async () => {
  const { start, game, phone } = setUp();
  const first = start();
  const { createClient } = await import('../src/index.js');
  assert.equal(
    createClient({ baseUrl: 'https://other.example.com', host: (phone.game as typeof game).host }),
    first,
  );
});

test('wrong_options_throw_with_their_name', async () => {
  const { createClient } = await import('../src/index.js');
  const { game, phone } = setUp();
  void game;
  phone.launch();
  const host = phone.game?.host;
  const cases: [unknown, RegExp][] = [
    [undefined, /options/],
    [{ host }, /baseUrl/],
    [{ host, baseUrl: 'https://a.example/path' }, /baseUrl/],
    [{ host, baseUrl: 'ftp://a.example' }, /baseUrl/],
    [{ host, baseUrl: 'https://a.example', sign: 1 }, /sign/],
    [{ host, baseUrl: 'https://a.example', appVersion: 'x'.repeat(33) }, /appVersion/],
    [{ host, baseUrl: 'https://a.example', autoTrack: { lunch: true } }, /autoTrack\.lunch/],
    [{ host, baseUrl: 'https://a.example', baseURL: 1 }, /baseURL/],
    [{ baseUrl: 'https://a.example' }, /host/],
  ];
  for (const [options, name] of cases) {
    assert.throws(
      () => createClient(options as never),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'ARGUMENT_INVALID');
        assert.match(error.message, name);
        return true;
      },
    );
  }
});

test('privacy_gate_is_forwarded', async () => {
  const { clock, phone, start } = setUp();
  phone.consents.privacyNeeded = true;
  const asked: string[] = [];
  start({
    autoTrack: QUIET,
    onNeedPrivacyAuthorization: (resolve, { referrer }) => {
      asked.push(referrer);
      resolve({ event: 'agree' });
    },
  });
  await clock.until(phone.game?.wx.getUserInfo() as Promise<unknown>);
  assert.deepEqual(asked, ['getUserInfo']);
});
