/** Questions to WeChat, which may answer by an exception, or never. */
import type { AvalonError } from './errors.js';
import type { Host } from './host.js';
import { ignore } from './values.js';

/** Returns the answer that `start` receives; `late` is called when it threw, or when `ms` have passed. */
export function ask<T>(
  host: Host,
  ms: number,
  start: (resolve: (value: T) => void, reject: (error: AvalonError) => void) => unknown,
  late: (message: string) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (message: string): void => {
      try {
        resolve(late(message));
      } catch (error) {
        reject(error);
      }
    };
    const timer = host.setTimeout(() => giveUp('timeout'), ms);
    const settled =
      <V>(settle: (value: V) => void) =>
      (value: V): void => {
        host.clearTimeout(timer);
        settle(value);
      };
    try {
      // Newer base libraries also return a promise.
      ignore(start(settled(resolve), settled(reject)));
    } catch (error) {
      host.clearTimeout(timer);
      giveUp(String(error));
    }
  });
}
