/**
 * Sends the queue: in batches by number and size, one at a time, with back-off. Rejected events are dropped by their
 * index; a batch that the service cannot accept as a whole is halved until the event at fault is alone, and dropped.
 */
import { toError } from '../base/errors.js';
import { fits } from '../api/read.js';
import { shared } from '../base/values.js';
import { backoff } from '../base/wait.js';
import type { Core } from '../core.js';
import type { Segments } from './segments.js';

/** Events of one report, and their bytes. The service accepts 500 and 1 MiB. */
const MAX_BATCH = 100;
const MAX_BATCH_BYTES = 128 * 1024;
const TIMEOUT_MS = 8000;
const BACKOFF_MS = 5000;
const MAX_BACKOFF_MS = 5 * 60 * 1000;

/** @internal */
export interface SenderParts {
  readonly core: Core;
  readonly segments: Segments;
  /** Facts about the whole report. */
  readonly envelope: () => object;
  /** Whether events may be sent now. */
  readonly allowed: () => unknown;
  /** Hears of each event that the service did not accept. */
  readonly reject: (code: string) => void;
}

/** @internal */
export interface Sender {
  /** Sends the queue within `delay` milliseconds; while backing off, not before that ends. */
  schedule(delay: number): void;
  /** Ends the back-off, for example when the network returned. */
  retryNow(): void;
  /** Sends what is queued now; resolves when the queue is empty or an attempt failed. */
  flush(): Promise<void>;
}

export function createSender({ core, segments, envelope, allowed, reject }: SenderParts): Sender {
  const { host, http } = core;
  let limit = MAX_BATCH;
  let failures = 0;
  let notBefore = 0;
  let timer: unknown;
  let due = Infinity;

  const schedule = (delay: number): void => {
    const at = Math.max(host.now() + delay, notBefore);
    if (at >= due) return;
    host.clearTimeout(timer);
    due = at;
    timer = host.setTimeout(() => {
      due = Infinity;
      void flush();
    }, at - host.now());
  };

  const flush = shared(async (): Promise<void> => {
    while (segments.count() && allowed()) {
      const batch = segments.head(limit, MAX_BATCH_BYTES);
      const head = JSON.stringify({ sentAt: host.now(), ...envelope() }).slice(0, -1);
      try {
        const rejected = await http.submit('report', `${head},"events":[${batch.join(',')}]}`, readRejected, {
          priority: 'event',
          attempts: 1,
          timeout: TIMEOUT_MS,
        });
        for (const { code } of rejected) reject(code);
        segments.remove(batch);
        failures = 0;
        limit = Math.min(MAX_BATCH, limit * 2);
      } catch (thrown) {
        const { code, status, retryable, retryAfter } = toError(thrown);
        if (retryable || status < 400 || status > 499 || /40[134]/.test(`${status}`)) {
          const delay = Math.max(retryAfter || 0, backoff(failures++, BACKOFF_MS, MAX_BACKOFF_MS));
          notBefore = host.now() + delay;
          return schedule(delay);
        }
        // The service cannot accept the batch.
        if (batch.length > 1) limit = Math.floor(batch.length / 2);
        else {
          reject(code);
          segments.remove(batch);
        }
      }
    }
  });

  return {
    schedule,
    retryNow() {
      notBefore = 0;
      schedule(0);
    },
    flush,
  };
}

function readRejected(body: unknown): { readonly code: string }[] | undefined {
  if (!fits(body, '#accepted') || body['success'] !== true) return undefined;
  const { rejected } = body;
  return Array.isArray(rejected)
    ? rejected.filter((entry): entry is { code: string } => fits(entry, 'code #index'))
    : [];
}
