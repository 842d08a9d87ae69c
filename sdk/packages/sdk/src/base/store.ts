/**
 * The SDK's values in WeChat's storage, under one prefix. A foreign or damaged value, or one of a future format, reads
 * as absent; storage that throws is reported by the return value and never by an exception.
 */
import type { Host } from './host.js';

const PREFIX = 'avalon:';
const FORMAT = 1;

/** JSON values with a version. */
export class Store {
  constructor(private readonly host: Host) {}

  /** Returns the value if `valid` accepts it. */
  read<T>(key: string, valid: (value: unknown) => value is T): T | undefined {
    const envelope = this.readRaw(key);
    if (!isRecord(envelope) || envelope['v'] !== FORMAT) return undefined;
    const value = envelope['d'];
    return valid(value) ? value : undefined;
  }

  /** Returns whether the value was stored. */
  write(key: string, value: unknown): boolean {
    return this.writeRaw(key, { v: FORMAT, d: value });
  }

  readRaw(key: string): unknown {
    try {
      return this.host.wx.getStorageSync(PREFIX + key);
    } catch {
      return undefined;
    }
  }

  writeRaw(key: string, value: unknown): boolean {
    try {
      this.host.wx.setStorageSync(PREFIX + key, value);
      return true;
    } catch {
      return false;
    }
  }

  remove(key: string): boolean {
    try {
      this.host.wx.removeStorageSync(PREFIX + key);
      return true;
    } catch {
      return false;
    }
  }

  /** Lists our keys that begin with `start`; undefined when storage cannot be read. */
  keys(start: string): string[] | undefined {
    try {
      const all = this.host.wx.getStorageInfoSync().keys;
      return all.filter((key) => key.indexOf(PREFIX + start) === 0).map((key) => key.slice(PREFIX.length));
    } catch {
      return undefined;
    }
  }
}

export function isRecord(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isFunction(value: unknown): value is (...values: never[]) => unknown {
  return typeof value === 'function';
}

/** Returns the object without the values that are undefined. */
export function defined<T extends object>(values: T): Present<T> {
  for (const name of Object.keys(values) as (keyof T)[]) {
    if (values[name] === undefined) delete values[name];
  }
  return values as unknown as Present<T>;
}

/** Optional where the value may be undefined. */
type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

export function isString(value: unknown): value is string {
  return typeof value === 'string';
}

export function isNumber(value: unknown): value is number {
  return typeof value === 'number' && isFinite(value);
}

/** Returns the value if it is a text. */
export function text(value: unknown): string | undefined {
  return isString(value) ? value : undefined;
}

/** Returns the value if it is a finite number. */
export function number(value: unknown): number | undefined {
  return isNumber(value) ? value : undefined;
}
