import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problem } from './support/fake-service.js';
import { setUp } from './support/setup.js';

function names(service: ReturnType<typeof setUp>['service']): string[] {
  return [...service.events.values()].map(({ eventName }) => eventName);
}

function stored(phone: ReturnType<typeof setUp>['phone']): string[] {
  return phone.storage.keys().filter((key) => key.startsWith('avalon:events:'));
}

test('events_are_stored_within_500_ms_and_sent_within_5_s', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  client.events.track('level_end', { level: 3 });
  assert.deepEqual(stored(phone), []);
  await clock.advance(500);
  assert.equal(stored(phone).length, 1);
  assert.equal(service.events.size, 0);
  await clock.advance(5000);
  assert.deepEqual(names(service), ['level_end']);
  assert.deepEqual(stored(phone), []);
});

test('events_of_a_killed_game_are_sent_by_the_next_one', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  client.events.track('one');
  await clock.advance(500);
  phone.kill();
  start();
  await clock.advance(10_000);
  assert.deepEqual(names(service), ['one']);
});

test('events_before_the_sign_in_wait_for_it', async () => {
  const { clock, service, start } = setUp();
  const client = start();
  client.events.track('splash');
  await clock.advance(60_000);
  assert.equal(service.count('/api/wx/report'), 0);
  await clock.until(client.login());
  await clock.advance(100);
  assert.deepEqual(names(service), ['splash']);
});

test('hidden_game_stores_before_it_sends', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  client.events.track('one');
  phone.background();
  assert.equal(stored(phone).length, 1);
  await clock.advance(1000);
  assert.deepEqual(names(service), ['one']);
});

test('acknowledgement_that_is_lost_doubles_nothing', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  let lost = 0;
  phone.network.fault = (request) => (request.url.endsWith('/report') && lost++ < 1 ? 'lose-answer' : 'none');
  client.events.track('one');
  await clock.advance(60_000);
  assert.equal(service.count('/api/wx/report'), 2);
  assert.deepEqual(names(service), ['one']);
  assert.equal(client.events.stats().queued, 0);
});

test('rejected_events_are_dropped_by_index_and_counted', async () => {
  const { clock, service, start } = setUp();
  const client = start();
  await clock.until(client.login());
  service.rejectNames.add('bad');
  for (const name of ['a', 'bad', 'b', 'bad']) client.events.track(name);
  await clock.until(client.events.flush());
  assert.deepEqual(names(service), ['a', 'b']);
  assert.deepEqual(client.events.stats(), { queued: 0, dropped: 0, rejected: { EVENT_NAME_INVALID: 2 } });
});

test('too_large_report_is_halved_until_the_event_is_alone', async () => {
  const { clock, service, start } = setUp();
  const client = start();
  await clock.until(client.login());
  service.override = (request, path) =>
    path === '/api/wx/report' && String(request.body).includes('"poison"')
      ? problem(413, 'BODY_TOO_LARGE')
      : undefined;
  for (let index = 0; index < 15; index++) client.events.track(index === 6 ? 'poison' : `e${index}`);
  await clock.until(client.events.flush());
  assert.equal(service.events.size, 14);
  assert.deepEqual(client.events.stats().rejected, { BODY_TOO_LARGE: 1 });
  assert.equal(client.events.stats().queued, 0);
});

test('outage_backs_off_and_loses_nothing', async () => {
  const { clock, service, start } = setUp();
  const client = start();
  await clock.until(client.login());
  service.override = (_request, path) =>
    path === '/api/wx/report' ? problem(503, 'QUEUE_UNAVAILABLE') : undefined;
  client.events.track('one');
  await clock.advance(10 * 60_000);
  assert.ok(
    service.count('/api/wx/report') < 15,
    `${service.count('/api/wx/report')} requests in ten minutes`,
  );
  service.override = () => undefined;
  await clock.advance(6 * 60_000);
  assert.deepEqual(names(service), ['one']);
});

test('returning_network_ends_the_back_off', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  phone.network.type = 'none';
  client.events.track('one');
  await clock.advance(10 * 60_000);
  phone.network.type = 'wifi';
  await clock.advance(100);
  assert.deepEqual(names(service), ['one']);
});

test('oldest_segment_is_dropped_and_counted', async () => {
  const { clock, phone, start } = setUp();
  const client = start();
  const text = 'x'.repeat(7000);
  for (let index = 0; index < 300; index++) client.events.track('big', { index, text });
  await clock.advance(500);
  assert.equal(stored(phone).length, 20);
  const { dropped, queued } = client.events.stats();
  assert.equal(dropped + queued, 300);
  assert.ok(dropped > 0);
  for (const key of stored(phone)) assert.ok(String(phone.storage.get(key)).length < 80_000);
});

test('full_disk_keeps_new_events_and_never_throws', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  phone.storage.occupied = 10 * 1024 * 1024;
  client.events.track('one');
  await clock.advance(1000);
  assert.deepEqual(stored(phone), []);
  phone.storage.occupied = 0;
  await clock.advance(6000);
  assert.equal(stored(phone).length, 1);
  await clock.until(client.login());
  await clock.advance(100);
  assert.deepEqual(names(service), ['one']);
});

test('unreadable_storage_at_the_start_overwrites_nothing', async () => {
  const { clock, service, phone, start } = setUp();
  const first = start();
  first.events.track('old');
  await clock.advance(500);
  phone.storage.fault = (call) => {
    if (call === 'info') throw new Error('disk');
  };
  const second = start();
  second.events.track('new');
  await clock.advance(1000);
  phone.storage.fault = undefined;
  await clock.until(second.login());
  await clock.advance(10_000);
  assert.deepEqual(names(service).sort(), ['new', 'old']);
});

test('wrong_events_are_counted_and_never_throw', async () => {
  const { start } = setUp();
  const { events } = start();
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  events.track('level end');
  events.track('');
  events.track(7 as never);
  events.track('x'.repeat(65));
  events.track('ok', cycle);
  events.track('ok', { text: 'x'.repeat(9000) });
  assert.deepEqual(events.stats().rejected, {
    EVENT_NAME_INVALID: 4,
    EVENT_PARAMS_INVALID: 1,
    EVENT_PARAMS_TOO_LARGE: 1,
  });
  assert.equal(events.stats().queued, 0);
});

test('properties_merge_by_precedence_and_outlive_the_game', async () => {
  const { clock, service, start } = setUp();
  start().events.setSuperProperties({ a: 'super', b: 'super', c: 'super' });
  const client = start();
  await clock.until(client.login());
  client.events.setDynamicSuperProperties(() => ({ b: 'dynamic', c: 'dynamic' }));
  client.events.track('one', { c: 'event' });
  client.events.setDynamicSuperProperties(() => {
    throw new Error('of the game');
  });
  client.events.unsetSuperProperty('a');
  client.events.track('two');
  await clock.until(client.events.flush());
  const params = [...service.events.values()].map(({ eventParams }) => eventParams);
  assert.deepEqual(params, [
    { a: 'super', b: 'dynamic', c: 'event' },
    { b: 'super', c: 'super' },
  ]);
});

test('time_event_adds_a_duration_in_seconds', async () => {
  const { clock, service, start } = setUp();
  const client = start();
  await clock.until(client.login());
  client.events.timeEvent('level');
  await clock.advance(2500);
  client.events.track('level');
  client.events.track('level');
  await clock.until(client.events.flush());
  assert.deepEqual(
    [...service.events.values()].map(({ eventParams }) => eventParams),
    [{ duration: 2.5 }, {}],
  );
});

test('acknowledged_part_of_a_segment_leaves_storage', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  let reports = 0;
  service.override = (_request, path) =>
    path === '/api/wx/report' && reports++ > 0 ? problem(503, 'QUEUE_UNAVAILABLE') : undefined;
  for (let index = 0; index < 150; index++) client.events.track('e', { index });
  await clock.until(client.events.flush());
  assert.equal(service.events.size, 100);
  const left = stored(phone).map((key) => String(phone.storage.get(key)).match(/eventId/g)?.length);
  assert.deepEqual(left, [50]);
});

test('damaged_and_future_segments_are_dropped_and_counted', async () => {
  const { clock, service, phone, start } = setUp();
  start().events.track('one');
  await clock.advance(500);
  phone.storage.damage(stored(phone)[0] as string, (text) => text.replace('one', 'two'));
  phone.storage.set('avalon:events:7', '2|0|[]');
  const client = start();
  assert.deepEqual(client.events.stats(), { queued: 0, dropped: 2, rejected: {} });
  assert.deepEqual(stored(phone), []);
  client.events.track('three');
  await clock.until(client.login());
  await clock.advance(6000);
  assert.deepEqual(names(service), ['three']);
});
