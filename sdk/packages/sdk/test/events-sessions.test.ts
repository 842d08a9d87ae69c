import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problem } from './support/fake-service.js';
import { QUIET, setUp } from './support/setup.js';

function names(service: ReturnType<typeof setUp>['service']): string[] {
  return [...service.events.values()].map(({ eventName }) => eventName);
}

function stored(phone: ReturnType<typeof setUp>['phone']): string[] {
  return phone.storage.keys().filter((key) => key.startsWith('avalon:events:'));
}

test('play_session_changes_after_30_s_in_the_background', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  const visit = async (away: number) => {
    phone.background();
    await clock.advance(away);
    phone.foreground();
    client.events.track(`after_${away}`);
    await clock.until(client.events.flush());
  };
  client.events.track('start');
  await visit(29_000);
  await visit(31_000);
  const [a, b, c] = [...service.events.values()].map(({ sessionId }) => sessionId);
  assert.equal(a, b);
  assert.notEqual(b, c);
});

test('track_status_pauses_keeps_and_deletes', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start();
  await clock.until(client.login());
  client.events.setTrackStatus('save-only');
  client.events.track('saved');
  await clock.until(client.events.flush());
  client.events.setTrackStatus('pause');
  client.events.track('ignored');
  assert.equal(client.events.stats().queued, 1);
  assert.equal(service.events.size, 0);
  client.events.setTrackStatus('normal');
  await clock.advance(100);
  assert.deepEqual(names(service), ['saved']);
  client.events.track('deleted');
  await clock.advance(500);
  client.events.setTrackStatus('stop');
  assert.deepEqual(stored(phone), []);
  client.events.setTrackStatus('off' as never);
  const again = start();
  again.events.track('ignored');
  assert.equal(again.events.stats().queued, 0);
});

test('presets_describe_launch_show_hide_error_and_network', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start({ autoTrack: {} }, { scene: 1011 });
  await clock.until(client.login());
  phone.game?.throwUncaught('boom');
  phone.network.type = '4g';
  await clock.advance(3000);
  phone.background();
  await clock.advance(1000);
  phone.foreground({ scene: 1001, query: {} });
  await clock.advance(6000);
  assert.deepEqual(names(service), ['$launch', '$error', '$network', '$hide', '$show']);
  const params = [...service.events.values()].map(({ eventParams }) => eventParams);
  assert.equal(params[0]?.['scene'], 1011);
  assert.equal(params[0]?.['platform'], 'android');
  assert.deepEqual(params[1], { message: 'boom' });
  assert.ok((params[3]?.['duration'] as number) >= 3);
});

test('failed_calls_are_reported_by_code', async () => {
  const { clock, service, phone, start } = setUp();
  const client = start({ autoTrack: { ...QUIET, client: true } });
  await clock.until(client.login());
  service.override = (_request, path) =>
    path === '/api/wx/inventory' ? problem(404, 'NOT_FOUND') : undefined;
  await clock.until(client.payments.inventory().catch(() => undefined));
  phone.background();
  await clock.advance(1000);
  const [event] = [...service.events.values()];
  assert.equal(event?.eventName, '$client');
  assert.deepEqual(event?.eventParams['failures'], { NOT_FOUND: 1 });
});

test('events_are_forwarded_to_wechat_and_aladdin', () => {
  const { phone, start } = setUp();
  const game = phone.launch();
  const sent: unknown[] = [];
  const wx = Object.assign({}, game.wx, {
    aldSendEvent: (name: string, params: object) => sent.push([name, params]),
  });
  const client = start({
    host: { ...game.host, wx },
    forward: { wechat: (name) => (name === 'a' ? 'id-a' : undefined), aladdin: true },
  });
  client.events.track('a', { x: 1 });
  client.events.track('b', { text: 'x'.repeat(300) });
  assert.deepEqual(phone.reported, [{ eventId: 'id-a', data: { x: 1 } }]);
  assert.deepEqual(sent, [
    ['a', { x: 1 }],
    ['b', {}],
  ]);
});

test('realtime_event_is_sent_at_once', async () => {
  const { clock, service, start } = setUp();
  const client = start();
  await clock.until(client.login());
  client.events.trackNow('paid', { fen: 600 });
  await clock.advance(50);
  assert.deepEqual(names(service), ['paid']);
  assert.match(service.requests.at(-1)?.body as string, /"realtime":true/);
});
