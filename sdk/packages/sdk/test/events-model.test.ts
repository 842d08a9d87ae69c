/**
 * The event queue under random histories: kills between any two storage calls, full and damaged disks, lost requests
 * and answers. What storage accepted arrives, unless it was damaged or dropped for want of room; nothing arrives twice;
 * a kill costs at most the last 500 ms.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { StorageCall } from '@avalon-wx/wx-stand-in';
import { setUp, type TestClient } from './support/setup.js';

type Step =
  | { do: 'track'; count: number; size: number }
  | { do: 'now' }
  | { do: 'advance'; ms: number }
  | { do: 'kill' }
  | { do: 'kill-in'; calls: number }
  | { do: 'network'; fault: 'none' | 'lose-request' | 'lose-answer' | 'hang' }
  | { do: 'offline' | 'online' | 'full' | 'roomy' | 'hide' | 'show' | 'damage' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('track' as const),
      count: fc.integer({ min: 1, max: 30 }),
      size: fc.constantFrom(0, 0, 10, 6000),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'now' as const }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('advance' as const),
      ms: fc.constantFrom(10, 100, 499, 501, 3000, 8000),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'kill' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('kill-in' as const), calls: fc.integer({ min: 1, max: 6 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('network' as const),
      fault: fc.constantFrom(
        'none' as const,
        'lose-request' as const,
        'lose-answer' as const,
        'hang' as const,
      ),
    }),
  },
  {
    weight: 4,
    arbitrary: fc
      .constantFrom('offline', 'online', 'full', 'roomy', 'hide', 'show', 'damage')
      .map((name) => ({ do: name }) as Step),
  },
);

interface Tracked {
  readonly at: number;
  readonly run: number;
}

async function play(steps: Step[]): Promise<void> {
  const { clock, service, phone, start } = setUp();
  const serial = (text: string): number[] =>
    [...text.matchAll(/serial\\*":(\d+)/g)].map((match) => Number(match[1]));
  const tracked = new Map<number, Tracked>();
  const accepted = new Set<number>();
  const excused = new Set<number>();
  let count = 0;
  let run = 0;
  let countdown = 0;
  let full = false;
  let healthySince = clock.now();
  let killedAt = 0;
  const kill = (): void => {
    if (phone.game) killedAt = clock.now();
    phone.kill();
  };
  const arrived = (): Set<number> =>
    new Set([...service.events.values()].map(({ eventParams }) => eventParams['serial'] as number));
  const storedSerials = (key: string): number[] => serial(String(phone.storage.get(key)));

  const original = phone.storage.set.bind(phone.storage);
  phone.storage.set = (key, data) => {
    original(key, data);
    if (key.startsWith('avalon:events:')) for (const id of serial(String(data))) accepted.add(id);
  };
  const arm = (): void => {
    phone.storage.fault = (call: StorageCall, key: string) => {
      if (countdown > 0 && --countdown === 0) {
        kill();
        throw new Error('killed');
      }
      if (call === 'remove' && key.startsWith('avalon:events:') && full) {
        // Makes room by dropping the oldest segment.
        const { fault } = phone.storage;
        phone.storage.fault = undefined;
        for (const id of storedSerials(key)) excused.add(id);
        phone.storage.fault = fault;
      }
    };
  };
  let client: TestClient;
  const restart = async (): Promise<void> => {
    // Anything older than 500 ms was stored, if the disk was fine for that long.
    const there = arrived();
    for (const [id, { at, run: of }] of tracked) {
      const lasting = of === run && at >= healthySince && killedAt - at > 500;
      if (lasting)
        assert.ok(
          accepted.has(id) || there.has(id),
          `event ${id} of ${killedAt - at} ms before was not stored`,
        );
    }
    run += 1;
    countdown = 0;
    client = start();
    client.login().catch(() => undefined);
    await clock.advance(0);
  };
  arm();
  client = start();
  await clock.until(client.login());
  for (const action of steps) {
    if (!phone.game) await restart();
    // A game in the background is soon suspended and runs no code.
    if ((action.do === 'track' || action.do === 'now') && !phone.game?.life.inForeground) continue;
    switch (action.do) {
      case 'track':
        for (let index = 0; index < action.count && phone.game; index++) {
          tracked.set(++count, { at: clock.now(), run });
          client.events.track('e', { serial: count, text: 'x'.repeat(action.size) });
        }
        break;
      case 'now':
        tracked.set(++count, { at: clock.now(), run });
        client.events.trackNow('e', { serial: count });
        break;
      case 'advance':
        await clock.advance(action.ms);
        break;
      case 'kill':
        kill();
        break;
      case 'kill-in':
        countdown = action.calls;
        break;
      case 'network':
        phone.network.fault = ({ url }) => (url.endsWith('/report') ? action.fault : 'none');
        break;
      case 'offline':
        phone.network.type = 'none';
        break;
      case 'online':
        phone.network.type = 'wifi';
        break;
      case 'full':
        full = true;
        healthySince = Infinity;
        phone.storage.occupied = 10 * 1024 * 1024 - 70_000;
        break;
      case 'roomy':
        if (full) healthySince = clock.now() + 5000;
        full = false;
        phone.storage.occupied = 0;
        break;
      case 'hide':
        phone.background();
        break;
      case 'show':
        phone.foreground();
        break;
      case 'damage': {
        const { fault } = phone.storage;
        phone.storage.fault = undefined;
        const key = phone.storage.keys().find((name) => name.startsWith('avalon:events:'));
        if (key) {
          // The running game still has these events in memory; the next one does not.
          for (const id of storedSerials(key)) excused.add(id);
          phone.storage.damage(key, (text) => text.replace('serial', 'seriaX'));
        }
        phone.storage.fault = fault;
        break;
      }
    }
  }
  // Heal everything; the next start sends what is left.
  phone.network.fault = () => 'none';
  phone.network.type = 'wifi';
  phone.storage.occupied = 0;
  full = false;
  kill();
  await restart();
  await clock.advance(30_000);
  const there = arrived();
  for (const id of accepted)
    assert.ok(there.has(id) || excused.has(id), `event ${id} was stored and never arrived`);
  assert.equal(service.events.size, there.size, 'an event arrived under two ids');
}

test('event_queue_model', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => play(steps)),
    { numRuns: Number(process.env['MODEL_RUNS'] ?? 150) },
  );
});
