/**
 * The SDK's values in WeChat's storage, under one prefix. A foreign or damaged value, or one of a future format, reads
 * as absent; storage that throws is reported by the return value and never by an exception.
 */
import type { Host } from './host.js';
import { attempt, isRecord } from './values.js';

const PREFIX = 'avalon:';
const FORMAT = 1;

/**
 * JSON values with a version.
 *
 * @internal
 */
export interface Store {
  /** Returns the value if `valid` accepts it. */
  read<T>(key: string, valid: (value: unknown) => value is T): T | undefined;
  /** Returns whether the value was stored. */
  write(key: string, value: unknown): boolean;
  readRaw(key: string): unknown;
  writeRaw(key: string, value: unknown): boolean;
  erase(key: string): boolean;
  /** Lists our keys that begin with `start`; undefined when storage cannot be read. */
  list(start: string): string[] | undefined;
}

export function createStore({ wx }: Host): Store {
  const readRaw = (key: string): unknown => attempt(() => wx.getStorageSync(PREFIX + key));
  const writeRaw = (key: string, value: unknown): boolean =>
    !!attempt(() => {
      wx.setStorageSync(PREFIX + key, value);
      return 1;
    });
  return {
    read(key, valid) {
      const envelope = readRaw(key);
      if (!isRecord(envelope) || envelope['v'] !== FORMAT) return undefined;
      const value = envelope['d'];
      return valid(value) ? value : undefined;
    },
    write: (key, value) => writeRaw(key, { v: FORMAT, d: value }),
    readRaw,
    writeRaw,
    erase: (key) =>
      !!attempt(() => {
        wx.removeStorageSync(PREFIX + key);
        return 1;
      }),
    list: (start) =>
      attempt(() =>
        wx
          .getStorageInfoSync()
          .keys.filter((key) => key.indexOf(PREFIX + start) === 0)
          .map((key) => key.slice(PREFIX.length)),
      ),
  };
}
