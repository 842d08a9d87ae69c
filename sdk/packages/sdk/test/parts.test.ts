/** Clients of named parts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { composeClient, events, manualEvents, payments, scores, signing, social } from '../src/index.js';
import { ORIGIN, setUp } from './support/setup.js';

test('client_of_no_parts_signs_in_and_signs_no_request', async () => {
  const { clock, phone, service } = setUp();
  const client = composeClient({ baseUrl: ORIGIN, host: phone.launch().host });
  assert.equal((await clock.until(client.login()))._id, 'user-alice');
  await clock.until(client.logout());
  assert.equal(service.requests.at(-1)?.path, '/api/wx/logout');
  assert.equal(service.requests.at(-1)?.header['x-avalon-signature'], undefined);
  assert.deepEqual(Object.keys(client), ['version', 'user', 'login', 'logout', 'onSession', 'now']);
});

test('signing_is_a_part', async () => {
  const { clock, phone, service } = setUp();
  const client = composeClient({ baseUrl: ORIGIN, host: phone.launch().host }, signing);
  await clock.until(client.login());
  await clock.until(client.logout());
  assert.match(service.requests.at(-1)?.header['x-avalon-signature'] ?? '', /^v2,/);
});

test('option_turns_signing_off', async () => {
  const { clock, phone, service } = setUp();
  const client = composeClient({ baseUrl: ORIGIN, sign: false, host: phone.launch().host }, signing);
  await clock.until(client.login());
  await clock.until(client.logout());
  assert.equal(service.requests.at(-1)?.header['x-avalon-signature'], undefined);
});

test('purchase_needs_no_events', async () => {
  const { clock, phone } = setUp();
  const client = composeClient({ baseUrl: ORIGIN, host: phone.launch().host }, payments);
  await clock.until(client.login());
  assert.equal((await clock.until(client.payments.pay('gems', 1))).status, 'paid');
});

test('parts_report_their_events_in_any_order', async () => {
  const { clock, phone, service } = setUp();
  const client = composeClient({ baseUrl: ORIGIN, host: phone.launch().host }, social, payments, events);
  await clock.until(client.login());
  await clock.until(client.payments.pay('gems', 1));
  await clock.until(client.social.share('level'));
  await clock.until(client.events.flush());
  const names = [...service.events.values()].map(({ eventName }) => eventName);
  // The picker hides the game.
  assert.deepEqual(names.sort(), ['$hide', '$launch', '$payment', '$share', '$show']);
});

test('manual_events_are_those_of_the_game', async () => {
  const { clock, phone, service } = setUp();
  const client = composeClient({ baseUrl: ORIGIN, host: phone.launch().host }, manualEvents);
  await clock.until(client.login());
  client.events.track('play');
  phone.background();
  phone.foreground();
  await clock.until(client.events.flush());
  assert.deepEqual(
    [...service.events.values()].map(({ eventName }) => eventName),
    ['play'],
  );
});

test('purchase_of_a_killed_game_is_followed_by_a_composed_client', async () => {
  const { clock, phone, service } = setUp();
  const first = composeClient({ baseUrl: ORIGIN, host: phone.launch().host }, payments, scores);
  await clock.until(first.login());
  phone.payments.answer = () => new Promise(() => undefined);
  first.payments.pay('gems', 1).catch(() => undefined);
  await clock.advance(2000);
  phone.kill();
  service.pay(service.orders[0]?._id ?? '');
  const next = composeClient({ baseUrl: ORIGIN, host: phone.launch().host }, payments);
  const heard: string[] = [];
  next.payments.onOrder(({ status }) => heard.push(status));
  await clock.advance(5000);
  assert.deepEqual(heard, ['paid']);
});
