/**
 * Calls of the service: slots, credentials, signatures, retries, and answers that come later (202). A call rejects with
 * an `AvalonError` in every case of failure; an answer of the wrong shape is one.
 */
import { cancellable, type CancelToken } from '../base/cancel.js';
import { AvalonError, toError } from '../base/errors.js';
import type { Emitter } from '../base/emitter.js';
import type { Host } from '../base/host.js';
import type { Ids } from '../base/ids.js';
import type { AppState } from '../base/lifecycle.js';
import { backoff, wait } from '../base/wait.js';
import { attempt, INTERRUPTED, type Answer } from './attempt.js';
import type { Authority, Credentials } from './authority.js';
import type { ServerClock } from './clock.js';
import { jobAddress, jobResult } from './job.js';
import { problem } from './problem.js';
import { signatureHeaders } from './sign.js';
import type { Priority, Slots } from './slots.js';

/**
 * How a call is performed.
 *
 * @internal
 */
export /** @internal */
interface CallOptions {
  readonly idempotencyKey?: string;
  /** Sent without credentials. */
  readonly anonymous?: boolean | undefined;
  readonly priority?: Priority;
  readonly cancel?: CancelToken | undefined;
  /** Attempts in all; 1 never repeats. */
  readonly attempts?: number;
  /** Of one attempt, in milliseconds. */
  readonly timeout?: number;
}

/** Returns the result, or undefined when the answer has the wrong shape. */
export type Reader<T> = (body: unknown) => T | undefined;

interface Call extends CallOptions {
  readonly method: 'GET' | 'POST';
  /** Path and query below the origin. */
  readonly path: string;
  /** An object, or JSON text. */
  readonly body?: object | string | undefined;
}

/** @internal */
export interface HttpParts {
  readonly host: Host;
  readonly baseUrl: string;
  readonly app: AppState;
  readonly slots: Slots;
  readonly clock: ServerClock;
  readonly ids: Ids;
  readonly sign: boolean;
  /** Hears of every failed call. */
  readonly failures: Emitter<AvalonError>;
}

const TIMEOUT_MS = 10000;
const ATTEMPTS = 5;
const BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 15000;
/** How long the service holds a request for a job, in seconds. */
const JOB_WAIT_S = 20;
/** How long a job is waited for in all. */
const JOB_LIMIT_MS = 120000;

export class Http {
  /** Set once by the session. */
  authority: Authority | undefined;

  constructor(private readonly parts: HttpParts) {}

  get<T>(path: string, read: Reader<T>, options?: CallOptions): Promise<T> {
    return this.call({ method: 'GET', path, ...options }, read);
  }

  post<T>(
    path: string,
    body: object | string | undefined,
    read: Reader<T>,
    options?: CallOptions,
  ): Promise<T> {
    return this.call({ method: 'POST', path, body, ...options }, read);
  }

  private call<T>(call: Call, read: Reader<T>): Promise<T> {
    const result = this.perform(call, read).catch((thrown: unknown) => {
      const error = toError(thrown);
      if (error.code !== 'CANCELLED') this.parts.failures.emit(error);
      throw error;
    });
    return cancellable(result, call.cancel);
  }

  private async perform<T>(call: Call, read: Reader<T>): Promise<T> {
    const answer = await this.send(call);
    const address = jobAddress(answer, JOB_WAIT_S);
    const result = read(address === undefined ? answer.body : await this.jobResult(call, address));
    if (result === undefined) throw new AvalonError('MALFORMED_ANSWER', { status: answer.status });
    return result;
  }

  /** Reads a job until it is finished. The service holds each request, so the next one may follow at once. */
  private async jobResult(call: Call, address: string): Promise<unknown> {
    const { host } = this.parts;
    const limit = host.now() + JOB_LIMIT_MS;
    for (;;) {
      const asked = host.now();
      const answer = await this.send({
        method: 'GET',
        path: address,
        priority: 'poll',
        cancel: call.cancel,
        anonymous: call.anonymous,
        timeout: (JOB_WAIT_S + 5) * 1000,
      });
      const finished = jobResult(answer);
      if (finished) return finished.result;
      if (host.now() > limit) throw new AvalonError('TIMEOUT', { retryable: true });
      // A service that does not hold the request must not be asked in a loop.
      await wait(host, Math.max(0, 1000 - (host.now() - asked)), call.cancel);
    }
  }

  /** Sends until there is an answer of success; everything else is repeated or thrown. */
  private async send(call: Call): Promise<Answer> {
    const { host, app } = this.parts;
    const attempts = call.attempts || ATTEMPTS;
    const recovered: string[] = [];
    for (let count = 0; ;) {
      if (call.cancel && call.cancel.cancelled) throw new AvalonError('CANCELLED');
      const used = call.anonymous || !this.authority ? undefined : await this.authority.credentials();
      let error: AvalonError;
      try {
        const answer = await this.once(call, used);
        if (answer.status >= 200 && answer.status < 300) return answer;
        error = problem(answer.body, answer.status, answer.header);
      } catch (thrown) {
        error = toError(thrown);
      }
      if (error.code === INTERRUPTED || (!app.foreground && error.code === 'NETWORK')) {
        // WeChat fails requests in the background; that is no failure of the network, and it passes.
        if (call.priority === 'event')
          throw new AvalonError('NETWORK', { message: error.message, retryable: true });
        if (!app.foreground) await wait(host, 0x7fffffff, call.cancel, app.shown);
        else await wait(host, BACKOFF_MS, call.cancel);
        continue;
      }
      const rejected = used !== undefined && (error.status === 401 || error.status === 403);
      // Each reason is remedied once, so that a rejected sign-in does not lead to another.
      if (rejected && this.authority && recovered.indexOf(error.code) < 0 && recovered.length < 3) {
        recovered.push(error.code);
        if ((await this.authority.rejected(error.code, used)) === 'repeat') continue;
        throw error;
      }
      if (!error.retryable || ++count >= attempts) throw error;
      const delay = Math.max(error.retryAfter || 0, backoff(count, BACKOFF_MS, MAX_BACKOFF_MS));
      if (delay > 60000) throw error;
      await wait(host, delay, call.cancel, ...(error.status === 0 ? [app.online] : []));
    }
  }

  private async once(call: Call, used: Credentials | undefined): Promise<Answer> {
    const { host, baseUrl, slots, clock } = this.parts;
    const answer = await slots.run(
      call.priority || 'normal',
      () => {
        const body = typeof call.body === 'object' ? JSON.stringify(call.body) : call.body;
        return attempt(
          host,
          {
            method: call.method,
            url: baseUrl + call.path,
            header: this.header(call, body, used),
            body,
            timeout: call.timeout || TIMEOUT_MS,
          },
          call.cancel,
        );
      },
      () => call.cancel !== undefined && call.cancel.cancelled,
    );
    clock.observe(answer);
    const token = answer.header['x-avalon-token'];
    if (used && token && this.authority) {
      this.authority.renewed(used, token, Number(answer.header['x-avalon-token-expires']));
    }
    return answer;
  }

  private header(
    call: Call,
    body: string | undefined,
    used: Credentials | undefined,
  ): { [name: string]: string } {
    const { clock, ids, sign } = this.parts;
    const header: { [name: string]: string } = { Accept: 'application/json' };
    if (body !== undefined) header['Content-Type'] = 'application/json';
    if (call.idempotencyKey !== undefined) header['Idempotency-Key'] = call.idempotencyKey;
    if (!used) return header;
    header['Authorization'] = `Bearer ${used.token}`;
    if (!sign) return header;
    return Object.assign(
      header,
      signatureHeaders(used.signingKey, {
        method: call.method,
        path: call.path,
        timestamp: Math.floor(clock.now() / 1000),
        nonce: ids.next(),
        idempotencyKey: call.idempotencyKey,
        body,
      }),
    );
  }
}
