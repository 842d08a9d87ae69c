/**
 * `wx.login`, rate-limited across restarts: WeChat limits it without publishing how, and every call may invalidate the
 * session key. After several calls in a short time only a sign-in that the player asked for is let through.
 */
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import type { SessionStore } from './stored.js';

/** At most this many calls in the window. */
const MAX_CALLS = 5;
const WINDOW_MS = 5 * 60 * 1000;
const TIMEOUT_MS = 10000;

/** Calls `wx.login` and returns the code. */
export function wxLogin(host: Host, stored: SessionStore, byPlayer: boolean): Promise<string> {
  const now = host.now();
  const recent = stored.logins().filter((time) => time <= now && time > now - WINDOW_MS);
  if (recent.length >= MAX_CALLS && !byPlayer) {
    const retryAfter = (recent[0] as number) + WINDOW_MS - now;
    return Promise.reject(new AvalonError('SIGN_IN_TOO_OFTEN', { retryable: true, retryAfter }));
  }
  stored.setLogins(recent.slice(1 - MAX_CALLS).concat(now));
  return new Promise((resolve, reject) => {
    const fail = (message: string): void => {
      host.clearTimeout(timer);
      reject(new AvalonError('SIGN_IN_FAILED', { message, retryable: true }));
    };
    // WeChat's own timeout does not exist on old versions.
    const timer = host.setTimeout(() => fail('timeout'), TIMEOUT_MS + 1000);
    try {
      host.wx.login({
        timeout: TIMEOUT_MS,
        success: ({ code }) => {
          host.clearTimeout(timer);
          if (typeof code === 'string' && code !== '') resolve(code);
          else fail('no code');
        },
        fail: ({ errMsg }) => fail(errMsg),
      });
    } catch (error) {
      fail(String(error));
    }
  });
}
