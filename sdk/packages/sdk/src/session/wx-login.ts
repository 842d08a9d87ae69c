/**
 * `wx.login`, rate-limited across restarts: WeChat limits it without publishing how, and every call may invalidate the
 * session key. After several calls in a short time only a sign-in that the player asked for is let through.
 */
import { ask } from '../base/ask.js';
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import type { Store } from '../base/store.js';
import { isString } from '../base/values.js';
import { isTimes } from './stored.js';

/** At most this many calls in the window. */
const MAX_CALLS = 5;
const WINDOW_MS = 5 * 60 * 1000;
const TIMEOUT_MS = 10000;
const KEY = 'logins';

/** Calls `wx.login` and returns the code. */
export async function wxLogin(host: Host, store: Store, byPlayer: boolean): Promise<string> {
  const now = host.now();
  const recent = (store.read(KEY, isTimes) || []).filter((time) => time <= now && time > now - WINDOW_MS);
  if (recent.length >= MAX_CALLS && !byPlayer) {
    const retryAfter = (recent[0] as number) + WINDOW_MS - now;
    throw new AvalonError('SIGN_IN_TOO_OFTEN', { retryable: true, retryAfter });
  }
  store.write(KEY, recent.slice(1 - MAX_CALLS).concat(now));
  const failed = (message: string): AvalonError =>
    new AvalonError('SIGN_IN_FAILED', { message, retryable: true });
  return ask<string>(
    host,
    // WeChat's own timeout does not exist on old versions.
    TIMEOUT_MS + 1000,
    (resolve, reject) =>
      host.wx.login({
        timeout: TIMEOUT_MS,
        success: ({ code }) => (isString(code) && code ? resolve(code) : reject(failed('no code'))),
        fail: ({ errMsg }) => reject(failed(errMsg)),
      }),
    (message) => {
      throw failed(message);
    },
  );
}
