/** One `wx.request` as a promise, with a timeout of our own: some versions of WeChat ignore the parameter. */
import type { CancelToken } from '../base/cancel.js';
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import { attempt, defined, isRecord, isString, nothing } from '../base/values.js';

/** @internal */
export interface Attempt {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly header: { [name: string]: string };
  readonly data: string | undefined;
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
export function send(host: Host, request: Attempt, cancel: CancelToken | undefined): Promise<Answer> {
  return new Promise<Answer>((resolve, reject) => {
    const sentAt = host.now();
    let task: { abort(): void } | undefined;
    const end = (): void => {
      host.clearTimeout(timer);
      stop();
    };
    const fail = (code: string, retryable: boolean, message?: string): void => {
      end();
      reject(new AvalonError(code, { message, retryable }));
    };
    const abort = (code: string): void => {
      fail(code, code === 'TIMEOUT');
      // It throws on some versions of WeChat, and there may be no task yet.
      attempt(() => (task as { abort(): void }).abort());
    };
    const timer = host.setTimeout(() => abort('TIMEOUT'), request.timeout + GRACE_MS);
    const stop = cancel ? cancel.onCancel(() => abort('CANCELLED')) : nothing;
    try {
      task = host.wx.request(
        defined({
          ...request,
          dataType: 'text',
          success: ({ statusCode, header, data }: { statusCode: number; header: unknown; data: unknown }) => {
            end();
            resolve({
              status: statusCode,
              header: lowerCase(header),
              body: isString(data) ? parsed(data) : data,
              sentAt,
              answeredAt: host.now(),
            });
          },
          fail: ({ errMsg }: { errMsg: string }) => {
            const text = String(errMsg);
            if (/interrupted/.test(text)) fail(INTERRUPTED, true, text);
            else fail(/time ?out/i.test(text) ? 'TIMEOUT' : 'NETWORK', !/domain list/.test(text), text);
          },
        }),
      );
    } catch (error) {
      fail('NETWORK', true, String(error));
    }
  });
}

function lowerCase(header: unknown): { [name: string]: string } {
  const result: { [name: string]: string } = {};
  if (isRecord(header)) {
    for (const name of Object.keys(header)) result[name.toLowerCase()] = String(header[name]);
  }
  return result;
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}
