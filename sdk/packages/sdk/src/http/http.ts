/**
 * Calls of the service: slots, credentials, signatures, retries, and answers that come later (202). A call rejects with
 * an `AvalonError` in every case of failure; an answer of the wrong shape is one.
 */
import type { Reader } from '../api/read.js';
import { cancellable, isCancelled, type CancelToken } from '../base/cancel.js';
import type { Emitter } from '../base/emitter.js';
import { AvalonError, toError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import type { Ids } from '../base/ids.js';
import type { AppState } from '../base/lifecycle.js';
import { backoff, wait } from '../base/wait.js';
import { INTERRUPTED, send, type Answer } from './attempt.js';
import type { Authority, Credentials } from './authority.js';
import type { ServerClock } from './clock.js';
import { jobAddress, jobResult } from './job.js';
import { problem } from './problem.js';
import type { signatureHeaders } from './sign.js';
import { createSlots, type Priority } from './slots.js';

/**
 * How a call is performed.
 *
 * @internal
 */
export interface CallOptions {
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

/** @internal */
interface Call extends CallOptions {
  readonly method: 'GET' | 'POST';
  /** Path and query below the origin. */
  readonly path: string;
  /** JSON. */
  readonly data?: string | undefined;
}

/** @internal */
export interface HttpParts {
  readonly host: Host;
  readonly baseUrl: string;
  readonly app: AppState;
  readonly clock: ServerClock;
  readonly ids: Ids;
  /** Hears of every failed call. */
  readonly failures: Emitter<AvalonError>;
}

/** @internal */
export interface Http {
  /** Set once by the session. */
  authority?: Authority;
  /** Set once where requests are signed. */
  signer?: typeof signatureHeaders;
  /** Reads `/api/wx/{path}`. */
  load<T>(path: string, read: Reader<T>, options?: CallOptions): Promise<T>;
  /** Posts an object or JSON text to `/api/wx/{path}`. */
  submit<T>(
    path: string,
    body: object | string | undefined,
    read: Reader<T>,
    options?: CallOptions,
  ): Promise<T>;
}

const API = '/api/wx/';
const TIMEOUT_MS = 10000;
const ATTEMPTS = 5;
const BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 15000;
/** A service that asks for a longer pause is not asked again. */
const MAX_PAUSE_MS = 60000;
/** How long the service holds a request for a job, in seconds. */
const JOB_WAIT_S = 20;
/** How long a job is waited for in all. */
const JOB_LIMIT_MS = 120000;
const JSON_TYPE = 'application/json';

export function createHttp({ host, baseUrl, app, clock, ids, failures }: HttpParts): Http {
  const slots = createSlots();

  const once = async (call: Call, used: Credentials | undefined): Promise<Answer> => {
    const { method, path, data, cancel, idempotencyKey, timeout = TIMEOUT_MS } = call;
    const answer = await slots(
      call.priority || 'normal',
      () => {
        const header: { [name: string]: string } = { Accept: JSON_TYPE };
        if (data !== undefined) header['Content-Type'] = JSON_TYPE;
        if (idempotencyKey !== undefined) header['Idempotency-Key'] = idempotencyKey;
        if (used) {
          header['Authorization'] = `Bearer ${used.token}`;
          if (http.signer) {
            const timestamp = Math.floor(clock.time() / 1000);
            const toSign = { method, path, timestamp, nonce: ids(), idempotencyKey, body: data };
            Object.assign(header, http.signer(used.signingKey, toSign));
          }
        }
        return send(host, { method, url: baseUrl + path, header, data, timeout }, cancel);
      },
      () => isCancelled(cancel),
    );
    clock.observe(answer);
    const token = answer.header['x-avalon-token'];
    if (used && token) {
      (http.authority as Authority).renewed(used, token, Number(answer.header['x-avalon-token-expires']));
    }
    return answer;
  };

  /** Sends until there is an answer of success; everything else is repeated or thrown. */
  const repeat = async (call: Call): Promise<Answer> => {
    const { cancel } = call;
    const authority = call.anonymous ? undefined : http.authority;
    const recovered: string[] = [];
    for (let count = 0; ;) {
      if (isCancelled(cancel)) throw new AvalonError('CANCELLED');
      const used = authority && (await authority.credentials());
      let error: AvalonError;
      try {
        const answer = await once(call, used);
        if (answer.status >= 200 && answer.status < 300) return answer;
        error = problem(answer.body, answer.status, answer.header);
      } catch (thrown) {
        error = toError(thrown);
      }
      const { code, status } = error;
      if (code === INTERRUPTED || (!app.foreground && code === 'NETWORK')) {
        // WeChat fails requests in the background; that is no failure of the network, and it passes.
        if (call.priority === 'event')
          throw new AvalonError('NETWORK', { message: error.message, retryable: true });
        if (app.foreground) await wait(host, BACKOFF_MS, cancel);
        else await wait(host, 0x7fffffff, cancel, app.returned);
      } else if (
        authority &&
        used &&
        (status === 401 || status === 403) &&
        // Each reason is remedied once, so that a rejected sign-in does not lead to another.
        recovered.indexOf(code) < 0 &&
        recovered.length < 3
      ) {
        recovered.push(code);
        if (!(await authority.rejected(code, used))) throw error;
      } else {
        const delay = Math.max(error.retryAfter || 0, backoff(++count, BACKOFF_MS, MAX_BACKOFF_MS));
        if (!error.retryable || count >= (call.attempts || ATTEMPTS) || delay > MAX_PAUSE_MS) throw error;
        await wait(host, delay, cancel, ...(status ? [] : [app.online]));
      }
    }
  };

  /** Reads a job until it is finished. The service holds each request, so the next one may follow at once. */
  const follow = async ({ cancel, anonymous }: Call, path: string): Promise<unknown> => {
    const timeout = (JOB_WAIT_S + 5) * 1000;
    const limit = host.now() + JOB_LIMIT_MS;
    for (;;) {
      const asked = host.now();
      const finished = jobResult(
        await repeat({ method: 'GET', path, priority: 'poll', cancel, anonymous, timeout }),
      );
      if (finished) return finished.result;
      if (host.now() > limit) throw new AvalonError('TIMEOUT', { retryable: true });
      // A service that does not hold the request must not be asked in a loop.
      await wait(host, Math.max(0, 1000 - (host.now() - asked)), cancel);
    }
  };

  const perform = async <T>(call: Call, read: Reader<T>): Promise<T> => {
    try {
      const answer = await repeat(call);
      const address = jobAddress(answer, JOB_WAIT_S);
      const result = read(address ? await follow(call, address) : answer.body);
      if (result === undefined) throw new AvalonError('MALFORMED_ANSWER', { status: answer.status });
      return result;
    } catch (thrown) {
      const error = toError(thrown);
      if (error.code !== 'CANCELLED') failures.emit(error);
      throw error;
    }
  };

  const http: Http = {
    load: (path, read, options = {}) =>
      cancellable(perform({ method: 'GET', path: API + path, ...options }, read), options.cancel),
    submit: (path, body, read, options = {}) => {
      const data = typeof body === 'object' ? JSON.stringify(body) : body;
      return cancellable(
        perform({ method: 'POST', path: API + path, data, ...options }, read),
        options.cancel,
      );
    },
  };
  return http;
}
