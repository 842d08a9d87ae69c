import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problem } from './support/fake-service.js';
import { rejection, setUp } from './support/setup.js';

test('concurrent_sign_ins_share_one_login', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  const users = await clock.until(Promise.all([client.login(), client.login(), client.payments.inventory()]));
  assert.equal(users[0]._id, 'user-alice');
  assert.equal(phone.logins, 1);
  assert.equal(service.signIns, 1);
});

test('stored_session_continues_without_wx_login', async () => {
  const { clock, service, phone, start } = setUp();
  await clock.until(start().login());
  const again = start();
  assert.equal((await clock.until(again.login()))._id, 'user-alice');
  await clock.until(again.payments.inventory());
  assert.equal(phone.logins, 1);
  assert.equal(service.signIns, 1);
});

test('device_id_is_created_once', async () => {
  const { clock, service, start } = setUp();
  const first = start();
  await clock.until(first.login());
  await clock.until(first.logout());
  await clock.until(start().login());
  const devices = service.requests
    .filter(({ path }) => path === '/api/wx/login')
    .map(({ body }) => (JSON.parse(body) as { deviceId: string }).deviceId);
  assert.equal(devices.length, 2);
  assert.match(devices[0] as string, /^[0-9a-f]{32}$/);
  assert.equal(devices[0], devices[1]);
});

test('expired_token_is_refreshed_once_for_all_callers', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  await clock.advance(service.tokenLife + 1000);
  await clock.until(Promise.all([client.payments.inventory(), client.profile.get(), client.coins.balance()]));
  assert.equal(service.refreshes, 1);
  assert.equal(phone.logins, 1);
});

test('token_is_renewed_before_it_expires', async () => {
  const { clock, service, start } = setUp();
  const client = start();
  await clock.until(client.login());
  await clock.advance(service.tokenLife * 0.8);
  await clock.until(client.payments.inventory());
  await clock.advance(1000);
  assert.equal(service.refreshes, 1);
});

test('token_in_a_header_is_used_and_stored', async () => {
  const { clock, service, start } = setUp();
  const client = start();
  await clock.until(client.login());
  const expires = clock.now() + 9000_000;
  const [, session] = [...service.sessions][0] as [string, never];
  service.sessions.set(`t.new.${expires}`, session);
  service.override = (_request, path) =>
    path === '/api/wx/coins'
      ? {
          status: 200,
          body: { balance: 1 },
          header: { 'x-avalon-token': `t.new.${expires}`, 'x-avalon-token-expires': String(expires) },
        }
      : undefined;
  await clock.until(client.coins.balance());
  await clock.until(start().payments.inventory());
  assert.equal(service.requests.at(-1)?.header['authorization'], `Bearer t.new.${expires}`);
});

test('killed_after_refresh_was_answered_keeps_the_session', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  await clock.advance(service.tokenLife + 1000);
  client.payments.inventory().catch(() => undefined);
  // The new refresh token is stored before the waiting request uses it.
  while (service.refreshes === 0) await clock.advance(5);
  await clock.advance(25);
  phone.kill();
  await clock.until(start().payments.inventory());
  assert.equal(service.refreshes, 1);
  assert.equal(phone.logins, 1);
});

test('replaced_session_is_reported_once_and_stays_ended', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  const seen: string[] = [];
  client.onSession(({ type }) => seen.push(type));
  for (const token of service.sessions.keys()) service.replaced.add(token);
  const errors = await clock.until(
    Promise.all([rejection(client.payments.inventory()), rejection(client.profile.get())]),
  );
  assert.deepEqual(
    errors.map(({ code }) => code),
    ['SESSION_REPLACED', 'SESSION_REPLACED'],
  );
  assert.equal((await clock.until(rejection(client.login()))).code, 'SESSION_REPLACED');
  assert.deepEqual(seen, ['replaced']);
  assert.equal(phone.logins, 1);
  await clock.until(client.login({ byPlayer: true }));
  assert.deepEqual(seen, ['replaced', 'signed-in']);
});

test('banned_player_is_reported_once', async () => {
  const { clock, service, start } = setUp();
  const client = start();
  await clock.until(client.login());
  const seen: string[] = [];
  client.onSession(({ type }) => seen.push(type));
  service.override = () => problem(403, 'USER_BANNED');
  const errors = await clock.until(
    Promise.all([rejection(client.payments.inventory()), rejection(client.profile.get())]),
  );
  assert.deepEqual(
    errors.map(({ code }) => code),
    ['USER_BANNED', 'USER_BANNED'],
  );
  assert.deepEqual(seen, ['banned']);
});

test('sign_in_again_leads_to_one_login_and_one_repeat', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  service.override = (_request, path) =>
    path === '/api/wx/updateUserInfo' ? problem(401, 'SIGN_IN_AGAIN') : undefined;
  const error = await clock.until(rejection(client.profile.update({ encryptedData: 'x', iv: 'y' })));
  assert.equal(error.code, 'SIGN_IN_AGAIN');
  assert.equal(phone.logins, 2);
  assert.equal(service.count('/api/wx/updateUserInfo'), 2);
});

test('wx_login_is_limited_across_restarts', async () => {
  const { clock, service, phone, start } = setUp();
  service.override = (_request, path) =>
    path === '/api/wx/inventory' ? problem(401, 'SESSION_ENDED') : undefined;
  for (let restart = 0; restart < 6; restart++) {
    await clock.until(rejection(start().payments.inventory()));
  }
  assert.equal(phone.logins, 5);
  const error = await clock.until(rejection(start().payments.inventory()));
  assert.equal(error.code, 'SIGN_IN_TOO_OFTEN');
  assert.equal(error.retryable, true);
  await clock.advance(5 * 60_000);
  await clock.until(rejection(start().payments.inventory()));
  assert.equal(phone.logins, 6);
});

test('entry_is_reported_with_the_sign_in', async () => {
  const { clock, service, start } = setUp();
  const client = start({}, { scene: 1007, query: { inviteCode: 'abc', shareId: 's1', level: '3' } });
  await clock.until(client.login());
  const body = JSON.parse(service.requests[0]?.body as string) as Record<string, unknown>;
  assert.deepEqual(
    {
      scene: body['scene'],
      inviteCode: body['inviteCode'],
      shareId: body['shareId'],
      deviceType: body['deviceType'],
    },
    { scene: 1007, inviteCode: 'abc', shareId: 's1', deviceType: 'android' },
  );
});

test('foreign_session_in_storage_is_ignored', async () => {
  for (const value of ['x', { v: 2, d: {} }, { v: 1, d: { token: 1 } }, 7, null]) {
    const { clock, phone, start } = setUp();
    phone.storage.set('avalon:session', value);
    phone.storage.set('avalon:intents', value);
    phone.storage.set('avalon:logins', value);
    phone.storage.set('avalon:scores', value);
    phone.storage.set('avalon:super', value);
    phone.storage.set('avalon:track-status', value);
    phone.storage.set('avalon:events:1', value);
    assert.equal((await clock.until(start().login()))._id, 'user-alice');
  }
});

test('storage_that_always_fails_does_not_prevent_a_sign_in', async () => {
  const { clock, phone, start } = setUp();
  phone.storage.fault = () => {
    throw new Error('disk');
  };
  const client = start();
  client.events.track('play');
  assert.equal((await clock.until(client.login()))._id, 'user-alice');
  assert.equal((await clock.until(client.payments.inventory())).length, 1);
});

test('failed_wx_login_is_an_error_of_the_call', async () => {
  const { clock, phone, start } = setUp();
  phone.network.type = 'none';
  const error = await clock.until(rejection(start().login()));
  assert.equal(error.code, 'SIGN_IN_FAILED');
  assert.equal(error.retryable, true);
});

test('profile_button_updates_the_user', async () => {
  const { clock, phone, game, start } = setUp() as ReturnType<typeof setUp>;
  void game;
  const client = start();
  await clock.until(client.login());
  let tapped: { tap(): Promise<void> } | undefined;
  const create = phone.game?.wx.createUserInfoButton as (options: never) => { tap(): Promise<void> };
  (phone.game?.wx as unknown as Record<string, unknown>)['createUserInfoButton'] = (options: never) =>
    (tapped = create(options));
  const results: (string | undefined)[] = [];
  client.profile.button(
    { type: 'text', text: 'Profile', style: { left: 0, top: 0, width: 9, height: 9 } },
    (error, user) => results.push(error ? error.code : user?.nickname),
  );
  phone.consents.ask = () => 'refuse';
  await tapped?.tap();
  phone.consents.decided.clear();
  phone.consents.ask = () => 'accept';
  await tapped?.tap();
  await clock.advance(1000);
  assert.deepEqual(results, ['REFUSED_BY_PLAYER', 'Ann']);
  assert.equal(client.user?.nickname, 'Ann');
});
