import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCancel, createClient, type CancelToken } from '../src/index.js';
import { problem } from './support/fake-service.js';
import { ORIGIN, rejection, setUp } from './support/setup.js';

async function signedIn(options: Parameters<typeof setUp>[0] = {}) {
  const setup = setUp(options);
  const client = setup.start();
  await setup.clock.until(client.login());
  return { ...setup, client };
}

test('game_keeps_its_slots_while_events_wait', async () => {
  const { clock, client, phone, service } = await signedIn();
  for (let index = 0; index < 10_000; index++) client.events.track('tick', { index });
  phone.network.latency = 1000;
  void client.events.flush();
  await clock.advance(1);
  const begun = clock.now();
  const calls = Array.from({ length: 10 }, () => client.payments.inventory());
  await clock.until(Promise.all(calls));
  // Three at a time, one second each: events have taken none of the game's slots.
  assert.ok(clock.now() - begun <= 4100, `took ${clock.now() - begun} ms`);
  assert.ok(client.events.stats().queued > 5000);
  assert.ok((phone.game?.requests.peak as number) <= 4);
  assert.ok(service.count('/api/wx/report') >= 3);
});

test('retryable_problem_is_repeated_after_retry_after', async () => {
  const { clock, client, service } = await signedIn();
  const times: number[] = [];
  service.override = (_request, path) => {
    if (path !== '/api/wx/inventory') return undefined;
    times.push(clock.now());
    return times.length < 3 ? problem(503, 'STORE_UNAVAILABLE', {}) : undefined;
  };
  await clock.until(client.payments.inventory());
  assert.equal(times.length, 3);
  assert.ok((times[1] as number) - (times[0] as number) >= 1000);
});

test('body_names_the_pause_where_no_header_does', async () => {
  const { clock, client, service } = await signedIn();
  const times: number[] = [];
  service.override = (_request, path) => {
    if (path !== '/api/wx/inventory') return undefined;
    const body = { code: 'STORE_UNAVAILABLE', retryable: true, retryAfter: 7 };
    return times.push(clock.now()) < 2 ? { status: 503, body } : undefined;
  };
  await clock.until(client.payments.inventory());
  assert.ok((times[1] as number) - (times[0] as number) >= 7000);
});

test('answers_without_a_date_leave_the_clock_alone', async () => {
  const { clock, client, service } = await signedIn();
  const before = client.now() - clock.now();
  for (const date of ['', 'soon']) {
    service.override = () => ({ status: 200, header: { date }, body: { items: [] } });
    await clock.until(client.payments.inventory());
    assert.equal(client.now() - clock.now(), before);
  }
});

test('permanent_problem_is_thrown_with_its_facts', async () => {
  const { clock, client, service } = await signedIn();
  service.override = (_request, path) =>
    path === '/api/wx/inventory' ? problem(409, 'NOT_ENOUGH_ITEMS') : undefined;
  const error = (await clock.until(rejection(client.payments.inventory()))) as never as Record<
    string,
    unknown
  >;
  assert.equal(error['code'], 'NOT_ENOUGH_ITEMS');
  assert.equal(error['status'], 409);
  assert.equal(error['requestId'], 'r-1');
  assert.equal(error['message'], 'detail of NOT_ENOUGH_ITEMS');
  assert.equal(service.count('/api/wx/inventory'), 1);
});

test('lost_answers_are_repeated_with_the_same_key', async () => {
  const { clock, client, phone, service } = await signedIn();
  let lost = 0;
  phone.network.fault = (request) =>
    request.url.endsWith('/consume') && lost++ < 2 ? 'lose-answer' : 'none';
  await clock.until(client.payments.consume('gems', 1));
  const keys = service.requests
    .filter(({ path }) => path === '/api/wx/consume')
    .map(({ header }) => header['idempotency-key']);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
});

test('hanging_request_is_aborted_and_repeated', async () => {
  const { clock, client, phone } = await signedIn();
  let hung = 0;
  phone.network.fault = (request) => (request.url.endsWith('/inventory') && hung++ < 1 ? 'hang' : 'none');
  await clock.until(client.payments.inventory());
  assert.equal(hung, 2);
});

test('accepted_answer_is_followed_by_long_polls', async () => {
  const { clock, client, service } = await signedIn();
  let polls = 0;
  service.override = (_request, path) => {
    if (path === '/api/wx/inventory')
      return {
        status: 202,
        header: { location: '/api/jobs/j1?key=k' },
        body: { jobId: 'j1', status: 'queued' },
      };
    if (!path.startsWith('/api/jobs/j1')) return undefined;
    assert.equal(path, '/api/jobs/j1?key=k&wait=20');
    polls += 1;
    return {
      status: 200,
      body:
        polls < 3
          ? { jobId: 'j1', status: 'running' }
          : { jobId: 'j1', status: 'succeeded', result: { items: [] } },
    };
  };
  assert.deepEqual(await clock.until(client.payments.inventory()), []);
  assert.equal(polls, 3);
});

test('failed_job_is_the_problem_of_the_call', async () => {
  const { clock, client, service } = await signedIn();
  service.override = (_request, path) => {
    if (path === '/api/wx/inventory') return { status: 202, header: { location: '/api/jobs/j1' }, body: {} };
    if (path.startsWith('/api/jobs/'))
      return { status: 200, body: { status: 'failed', error: { status: 409, code: 'OUT_OF_STOCK' } } };
    return undefined;
  };
  const error = await clock.until(rejection(client.payments.inventory()));
  assert.equal(error.code, 'OUT_OF_STOCK');
  assert.equal(error.status, 409);
});

test('job_address_on_another_host_is_refused', async () => {
  const { clock, client, service } = await signedIn();
  service.override = (_request, path) =>
    path === '/api/wx/inventory'
      ? { status: 202, header: { location: 'https://evil.example/api/jobs/1' }, body: {} }
      : undefined;
  assert.equal((await clock.until(rejection(client.payments.inventory()))).code, 'MALFORMED_ANSWER');
});

test('malformed_answers_are_errors_and_never_throw_elsewhere', async () => {
  for (const body of ['', 'null', '[]', '{"items":7}', '<html>', '{"items":[{"productId":1}]}']) {
    const { clock, client, service } = await signedIn();
    service.override = (_request, path) => (path === '/api/wx/inventory' ? { status: 200, body } : undefined);
    assert.equal((await clock.until(rejection(client.payments.inventory()))).code, 'MALFORMED_ANSWER');
  }
});

test('interrupted_request_is_repeated_when_the_game_returns', async () => {
  const { clock, client, phone } = await signedIn();
  phone.network.latency = 8000;
  const result = client.payments.inventory();
  await clock.advance(100);
  phone.background();
  await clock.advance(60_000);
  phone.network.latency = 20;
  phone.foreground();
  assert.equal((await clock.until(result)).length, 1);
});

test('offline_call_is_repeated_when_the_network_returns', async () => {
  const { clock, client, phone } = await signedIn();
  phone.network.type = 'none';
  const result = client.payments.inventory();
  await clock.advance(600);
  phone.network.type = '4g';
  const returned = clock.now();
  assert.equal((await clock.until(result)).length, 1);
  assert.ok(clock.now() - returned < 100);
});

test('cancelled_call_settles_at_once', async () => {
  const { clock, client, phone } = await signedIn();
  phone.network.fault = () => 'hang';
  const source = createCancel();
  const result = rejection(client.payments.inventory({ cancel: source.token }));
  await clock.advance(100);
  source.cancel();
  assert.equal((await result).code, 'CANCELLED');
});

test('requests_are_signed_with_the_server_clock', async () => {
  const { clock, client, phone, service } = await signedIn();
  void phone;
  await clock.until(client.payments.inventory());
  const header = service.requests.at(-1)?.header as Record<string, string>;
  assert.match(header['x-avalon-signature'] as string, /^v2,[A-Za-z0-9+/]{43}=$/);
  assert.match(header['x-avalon-nonce'] as string, /^[0-9a-f]{32}$/);
  assert.ok(Math.abs(Number(header['x-avalon-timestamp']) - clock.now() / 1000) <= 1);
});

test('wrong_phone_clock_is_corrected_after_one_answer', async () => {
  const setup = setUp();
  const game = setup.phone.launch();
  const host = { ...game.host, now: () => setup.clock.now() - 3600_000 };
  const client = createClient({ baseUrl: ORIGIN, host });
  await setup.clock.until(client.login());
  await setup.clock.until(client.payments.inventory());
  assert.ok(Math.abs(client.now() - setup.clock.now()) <= 1000);
  const header = setup.service.requests.at(-1)?.header as Record<string, string>;
  assert.ok(Math.abs(Number(header['x-avalon-timestamp']) - setup.clock.now() / 1000) <= 1);
});

test('stale_signature_is_signed_again', async () => {
  const { clock, client, service } = await signedIn();
  let stale = 0;
  service.override = (_request, path) =>
    path === '/api/wx/inventory' && stale++ === 0 ? problem(401, 'SIGNATURE_STALE') : undefined;
  await clock.until(client.payments.inventory());
  assert.equal(stale, 2);
});

test('answers_of_a_proxy_without_problem_are_errors', async () => {
  const { clock, client, service } = await signedIn();
  service.override = (_request, path) =>
    path === '/api/wx/inventory' ? { status: 404, body: '<html>' } : undefined;
  const error = await clock.until(rejection(client.payments.inventory()));
  assert.equal(error.code, 'HTTP_404');
  assert.equal(error.retryable, false);
});

test('changed_phone_clock_is_noticed_with_the_next_answer', async () => {
  const setup = setUp();
  const game = setup.phone.launch();
  let error = 0;
  const host = { ...game.host, now: () => setup.clock.now() + error };
  const client = createClient({ baseUrl: ORIGIN, host });
  await setup.clock.until(client.login());
  error = 7200_000;
  await setup.clock.until(client.payments.products());
  assert.ok(Math.abs(client.now() - setup.clock.now()) <= 1000);
});

test('every_call_can_be_cancelled', async () => {
  const { clock, client, phone } = await signedIn();
  phone.network.fault = () => 'hang';
  const calls: ((options: { cancel: CancelToken }) => Promise<unknown>)[] = [
    (options) => client.logout(options),
    (options) => client.profile.get(options),
    (options) => client.profile.update({ encryptedData: 'x', iv: 'y' }, options),
    (options) => client.payments.products(options),
    (options) => client.payments.order('o', options),
    (options) => client.payments.orders({ limit: 1, ...options }),
    (options) => client.payments.cancel('o', options),
    (options) => client.payments.inventory(options),
    (options) => client.payments.consume('gems', 1, options),
    (options) => client.coins.balance(options),
    (options) => client.social.share('s', {}, options),
    (options) => client.social.invites(options),
    (options) => client.social.rewards(options),
    (options) => client.scores.run('b', options),
    (options) => client.scores.score('b', 1, { keepOffline: true, ...options }),
    (options) => client.scores.leaderboard('b', options),
  ];
  for (const call of calls) {
    const source = createCancel();
    const result = rejection(call({ cancel: source.token }));
    await clock.advance(50);
    source.cancel();
    assert.equal((await result).code, 'CANCELLED', String(call));
  }
});
