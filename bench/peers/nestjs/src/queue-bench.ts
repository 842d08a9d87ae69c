import { Queue, Worker } from 'bullmq';
import { createHistogram } from 'node:perf_hooks';
import { config } from './config';

/**
 * The bare queue: `node queue-bench.js JOBS CONCURRENCY RATE SECONDS`. Prints the rates of enqueueing and of draining, and
 * the waits of single jobs at a fixed rate. Every job returns a result, which is stored.
 */
const [jobs, concurrency, rate, seconds] = process.argv.slice(2).map(Number);
const NAME = 'bare';
const PAYLOAD = { filler: 'x'.repeat(187) };
const KEEP = { removeOnComplete: { age: 300 } };
const BATCH = 100;
const ADDERS = 16;

const connection = { ...config.redis };
const now = (): bigint => process.hrtime.bigint();
const since = (start: bigint): number => Number(now() - start) / 1e9;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function push(queue: Queue): Promise<number> {
  const start = now();
  let left = jobs;
  const adder = async (): Promise<void> => {
    while (left > 0) {
      const length = Math.min(BATCH, left);
      left -= length;
      await queue.addBulk(Array.from({ length }, () => ({ name: NAME, data: PAYLOAD, opts: KEEP })));
    }
  };
  await Promise.all(Array.from({ length: ADDERS }, adder));
  return jobs / since(start);
}

async function drain(): Promise<number> {
  let [first, settled] = [0n, 0];
  const worker = new Worker(NAME, async () => { first ||= now(); return { done: true }; }, { connection, concurrency });
  const done = new Promise<void>((resolve) => worker.on('completed', () => { if (++settled === jobs) resolve(); }));
  await done;
  const drained = jobs / since(first);
  await worker.close();
  return drained;
}

async function waits(queue: Queue): Promise<{ p50Ms: number; p99Ms: number }> {
  const histogram = createHistogram();
  let measuring = false;
  const worker = new Worker(
    NAME,
    async (job) => {
      if (measuring) histogram.record(now() - BigInt(job.data.at));
      return { done: true };
    },
    { connection, concurrency },
  );
  await worker.waitUntilReady();
  const [start, count, warmUp] = [now(), rate * seconds, rate];
  const added: Promise<unknown>[] = [];
  for (let n = 0; n < warmUp + count; n += 1) {
    // On schedule, whatever earlier jobs do; timers are late by up to a millisecond.
    const due = start + BigInt(Math.round((n * 1e9) / rate));
    const wait = Number(due - now()) / 1e6;
    if (wait > 0) await sleep(wait);
    measuring = n >= warmUp;
    added.push(queue.add(NAME, { ...PAYLOAD, at: now().toString() }, KEEP));
  }
  await Promise.all(added);
  await sleep(500);
  await worker.close();
  return { p50Ms: histogram.percentile(50) / 1e6, p99Ms: histogram.percentile(99) / 1e6 };
}

async function main(): Promise<void> {
  const queue = new Queue(NAME, { connection });
  const pushed = await push(queue);
  const drained = await drain();
  const { p50Ms, p99Ms } = await waits(queue);
  await queue.close();
  console.log(JSON.stringify({ pushedPerSecond: pushed, drainedPerSecond: drained, p50Ms, p99Ms }));
}
void main();
