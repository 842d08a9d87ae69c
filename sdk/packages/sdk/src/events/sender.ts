/**
 * Sends the queue: in batches by number and size, one at a time, with back-off. Rejected events are dropped by their
 * index; a batch that the service cannot accept as a whole is halved until the event at fault is alone, and dropped.
 */
import { toError, type AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import { isNumber, isRecord, isString } from '../base/store.js';
import { backoff } from '../base/wait.js';
import type { Http } from '../http/http.js';
import type { Segments } from './segments.js';

/** Events of one report, and their bytes. The service accepts 500 and 1 MiB. */
const MAX_BATCH = 100;
const MAX_BATCH_BYTES = 128 * 1024;
const TIMEOUT_MS = 8000;
const BACKOFF_MS = 5000;
const MAX_BACKOFF_MS = 5 * 60 * 1000;

/** @internal */
export interface SenderParts {
  readonly host: Host;
  readonly http: Http;
  readonly segments: Segments;
  /** Facts about the whole report. */
  readonly envelope: () => object;
  /** Whether events may be sent now. */
  readonly allowed: () => boolean;
  /** Hears of events that the service did not accept, by code. */
  readonly rejected: (code: string, count: number) => void;
}

interface Report {
  readonly rejected: { readonly index: number; readonly code: string }[];
}

export class Sender {
  private running: Promise<void> | undefined;
  private limit = MAX_BATCH;
  private failures = 0;
  private notBefore = 0;
  private timer: unknown;
  private due = 0;

  constructor(private readonly parts: SenderParts) {}

  /** Sends the queue within `delay` milliseconds; while backing off, not before that ends. */
  schedule(delay: number): void {
    const { host } = this.parts;
    const due = Math.max(host.now() + delay, this.notBefore);
    if (this.timer !== undefined) {
      if (due >= this.due) return;
      host.clearTimeout(this.timer);
    }
    this.due = due;
    this.timer = host.setTimeout(() => {
      this.timer = undefined;
      void this.flush();
    }, due - host.now());
  }

  /** Ends the back-off, for example when the network returned. */
  retryNow(): void {
    this.notBefore = 0;
    this.schedule(0);
  }

  /** Sends what is queued now; resolves when the queue is empty or an attempt failed. */
  flush(): Promise<void> {
    if (!this.running) {
      const done = (): void => {
        this.running = undefined;
      };
      this.running = this.run();
      this.running.then(done, done);
    }
    return this.running;
  }

  private async run(): Promise<void> {
    const { segments, allowed, host } = this.parts;
    while (segments.count > 0 && allowed()) {
      const batch = segments.head(this.limit, MAX_BATCH_BYTES);
      try {
        const report = await this.post(batch);
        for (const { code } of report.rejected) this.parts.rejected(code, 1);
        segments.remove(batch);
        this.failures = 0;
        this.limit = Math.min(MAX_BATCH, this.limit * 2);
      } catch (thrown) {
        const error = toError(thrown);
        if (this.isPoison(error)) {
          if (batch.length === 1) {
            this.parts.rejected(error.code, 1);
            segments.remove(batch);
          } else {
            this.limit = Math.max(1, Math.floor(batch.length / 2));
          }
          continue;
        }
        const delay = Math.max(error.retryAfter || 0, backoff(this.failures++, BACKOFF_MS, MAX_BACKOFF_MS));
        this.notBefore = host.now() + delay;
        this.schedule(delay);
        return;
      }
    }
  }

  private isPoison({ status, retryable }: AvalonError): boolean {
    return !retryable && status >= 400 && status < 500 && status !== 401 && status !== 403 && status !== 404;
  }

  private post(batch: string[]): Promise<Report> {
    const { host, http, envelope } = this.parts;
    const head = JSON.stringify(Object.assign({ sentAt: host.now() }, envelope()));
    const body = `${head.slice(0, -1)},"events":[${batch.join(',')}]}`;
    const options = { priority: 'event' as const, attempts: 1, timeout: TIMEOUT_MS };
    return http.post('/api/wx/report', body, readReport, options);
  }
}

function readReport(body: unknown): Report | undefined {
  if (!isRecord(body) || body['success'] !== true || !isNumber(body['accepted'])) return undefined;
  const rejected = Array.isArray(body['rejected']) ? body['rejected'] : [];
  return {
    rejected: rejected.filter(
      (entry) => isRecord(entry) && isNumber(entry['index']) && isString(entry['code']),
    ),
  };
}
