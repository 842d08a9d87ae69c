/**
 * `wx.request`: ten slots, at most 60 s, and in the background five seconds, after which a request fails with
 * `fail interrupted`. New requests of a game in the background fail at once.
 */
import { failure, type Callbacks, callback } from './callbacks.js';
import type { Clock, TimerId } from './clock.js';
import { SUSPENDED_AFTER_MS, type Lifecycle } from './lifecycle.js';
import type { NetworkRequest, NetworkResponse, PhoneNetwork } from './network.js';

export const MAX_REQUESTS = 10;
export const MAX_TIMEOUT_MS = 60000;

export interface RequestResult {
  readonly data: unknown;
  readonly statusCode: number;
  readonly header: { readonly [name: string]: string };
  readonly cookies: string[];
}

export interface RequestOptions extends Callbacks<RequestResult> {
  url: string;
  method?: string;
  data?: string | object | ArrayBuffer;
  header?: { [name: string]: string | number };
  dataType?: string;
  responseType?: string;
  timeout?: number;
}

export interface RequestTask {
  abort(): void;
  onHeadersReceived(listener: (result: { header: object }) => void): void;
  offHeadersReceived(listener?: (result: { header: object }) => void): void;
}

interface Running {
  fail(reason: string, errno?: number): void;
}

/** The requests of one running game. */
export class Requests {
  private readonly running = new Set<Running>();
  private readonly waiting: (() => void)[] = [];
  private interruption: TimerId | undefined;
  /** The largest number of requests that ran at the same time. */
  peak = 0;

  constructor(
    private readonly clock: Clock,
    private readonly network: PhoneNetwork,
    private readonly life: Lifecycle,
    private readonly allowed: (url: string) => boolean,
  ) {
    life.onHide(() => {
      this.interruption = clock.setTimeout(() => {
        for (const request of Array.from(this.running)) request.fail('interrupted', 600003);
      }, SUSPENDED_AFTER_MS);
    });
    life.onShow(() => {
      if (this.interruption !== undefined) clock.clearTimeout(this.interruption);
    });
    life.onKill(() => this.waiting.splice(0));
  }

  request(options: RequestOptions): RequestTask {
    this.life.assertAlive();
    let abort = (): void => undefined;
    const work = new Promise<RequestResult>((resolve, reject) => {
      const fail = (reason: string, errno = 600001): void => reject(failure('request', reason, { errno }));
      abort = () => fail('abort', 600003);
      if (!this.allowed(options.url)) return fail('url not in domain list', 600002);
      if (!this.life.mayRequest) return fail('interrupted', 600003);
      const start = (): void =>
        this.run(toNetwork(options), options, resolve, fail, (stop) => (abort = stop));
      if (this.running.size < MAX_REQUESTS) start();
      else this.waiting.push(start);
    });
    callback((run) => this.life.deliver(run), 'request', options, work);
    return {
      abort: () => abort(),
      onHeadersReceived: () => undefined,
      offHeadersReceived: () => undefined,
    };
  }

  private run(
    request: NetworkRequest,
    options: RequestOptions,
    resolve: (result: RequestResult) => void,
    reject: (reason: string, errno?: number) => void,
    onAbort: (stop: () => void) => void,
  ): void {
    let open = true;
    const close = (): boolean => {
      if (!open) return false;
      open = false;
      this.clock.clearTimeout(timer);
      this.running.delete(entry);
      const next = this.waiting.shift();
      if (next && !this.life.killed) next();
      return true;
    };
    const entry: Running = {
      fail: (reason, errno) => {
        if (close()) reject(reason, errno);
      },
    };
    const timeout = Math.min(options.timeout || MAX_TIMEOUT_MS, MAX_TIMEOUT_MS);
    const timer = this.clock.setTimeout(() => entry.fail('timeout', 5), timeout);
    this.running.add(entry);
    this.peak = Math.max(this.peak, this.running.size);
    onAbort(() => entry.fail('abort', 600003));
    this.network.send(request).then(
      (response) => {
        if (close()) resolve(toResult(response, options));
      },
      (error: Error) => entry.fail(error.message),
    );
  }
}

function toNetwork(options: RequestOptions): NetworkRequest {
  const header: { [name: string]: string } = { 'content-type': 'application/json' };
  for (const name of Object.keys(options.header || {})) {
    const lower = name.toLowerCase();
    if (lower !== 'referer')
      header[lower] = String((options.header as { [name: string]: string | number })[name]);
  }
  const method = (options.method || 'GET').toUpperCase();
  const data = options.data;
  if (method === 'GET' && data !== undefined && typeof data === 'object' && !(data instanceof ArrayBuffer)) {
    return { method, url: withQuery(options.url, data), header, body: undefined };
  }
  const plain = data === undefined || typeof data === 'string' || data instanceof ArrayBuffer;
  return { method, url: options.url, header, body: plain ? data : JSON.stringify(data) };
}

function withQuery(url: string, data: object): string {
  const pairs = Object.keys(data).map(
    (key) =>
      `${encodeURIComponent(key)}=${encodeURIComponent(String((data as { [key: string]: unknown })[key]))}`,
  );
  return pairs.length === 0 ? url : `${url}${url.indexOf('?') < 0 ? '?' : '&'}${pairs.join('&')}`;
}

function toResult(response: NetworkResponse, options: RequestOptions): RequestResult {
  let data: unknown = response.body;
  if (options.dataType === undefined || options.dataType === 'json') {
    try {
      data = JSON.parse(response.body);
    } catch {
      // WeChat hands over the text when it is not JSON.
    }
  }
  return { data, statusCode: response.statusCode, header: response.header, cookies: [] };
}
