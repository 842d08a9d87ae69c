/** One `wx.request` as a promise, with a timeout of our own: some versions of WeChat ignore the parameter. */
import { AvalonError } from '../base/errors.js';
import type { CancelToken } from '../base/cancel.js';
import type { Host } from '../base/host.js';
import type { WxFailure } from '../base/wx.js';

/** @internal */
export interface Attempt {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly header: { [name: string]: string };
  readonly body: string | undefined;
  readonly timeout: number;
}

/**
 * An answer with any status. Header names are in lower case, `body` is parsed JSON or text.
 *
 * @internal
 */
export interface Answer {
  readonly status: number;
  readonly header: { readonly [name: string]: string };
  readonly body: unknown;
  /** When the request was sent and answered, by the phone's clock. */
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** Thrown when WeChat interrupted the request because the game went to the background. */
export const INTERRUPTED = 'INTERRUPTED';

/** Time that WeChat's own timeout gets before ours ends the request. */
const GRACE_MS = 500;

/** Sends one request; rejects with `NETWORK`, `TIMEOUT`, `CANCELLED` or `INTERRUPTED` when no answer arrived. */
export function attempt(host: Host, request: Attempt, cancel: CancelToken | undefined): Promise<Answer> {
  return new Promise<Answer>((resolve, reject) => {
    const sentAt = host.now();
    let task: { abort(): void } | undefined;
    const end = (settle: () => void): void => {
      host.clearTimeout(timer);
      stop();
      settle();
    };
    const abort = (code: string): void =>
      end(() => {
        reject(new AvalonError(code, { retryable: code === 'TIMEOUT' }));
        try {
          if (task) task.abort();
        } catch {
          // `abort` throws on some versions of WeChat.
        }
      });
    const timer = host.setTimeout(() => abort('TIMEOUT'), request.timeout + GRACE_MS);
    const stop = cancel ? cancel.onCancel(() => abort('CANCELLED')) : () => undefined;
    try {
      task = host.wx.request({
        url: request.url,
        method: request.method,
        header: request.header,
        dataType: 'text',
        timeout: request.timeout,
        success: ({ statusCode, header, data }) =>
          end(() =>
            resolve({
              status: statusCode,
              header: lowerCase(header),
              body: parse(data),
              sentAt,
              answeredAt: host.now(),
            }),
          ),
        fail: (failure) => end(() => reject(failed(failure))),
        ...(request.body === undefined ? {} : { data: request.body }),
      });
    } catch (error) {
      end(() => reject(new AvalonError('NETWORK', { message: String(error), retryable: true })));
    }
  });
}

function failed({ errMsg }: WxFailure): AvalonError {
  const text = String(errMsg);
  if (/interrupted/.test(text)) return new AvalonError(INTERRUPTED, { message: text, retryable: true });
  const code = /time ?out/i.test(text) ? 'TIMEOUT' : 'NETWORK';
  return new AvalonError(code, { message: text, retryable: !/domain list/.test(text) });
}

function lowerCase(header: unknown): { [name: string]: string } {
  const result: { [name: string]: string } = {};
  if (typeof header !== 'object' || header === null) return result;
  for (const name of Object.keys(header)) {
    result[name.toLowerCase()] = String((header as { [name: string]: unknown })[name]);
  }
  return result;
}

function parse(data: unknown): unknown {
  if (typeof data !== 'string') return data;
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}
