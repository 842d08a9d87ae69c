/**
 * Storage of one player on one phone. It outlives the game: a killed game finds what was written. Values are JSON, a
 * missing key reads as `''`, one key holds at most 1 MB and all together 10 MB. A test can make any call fail.
 */
import { failure } from './callbacks.js';

/** A call of the storage, as `StorageFault` sees it. */
export type StorageCall = 'get' | 'set' | 'remove' | 'info';

/** Called before each storage call; what it throws is thrown by the call, which then has no effect. */
export type StorageFault = (call: StorageCall, key: string) => void;

/** What `getStorageInfoSync` returns; sizes in KB. */
export interface StorageInfo {
  readonly keys: string[];
  readonly currentSize: number;
  readonly limitSize: number;
}

const MAX_KEY_BYTES = 1024 * 1024;
const MAX_BYTES = 10 * MAX_KEY_BYTES;

/** The storage behind `wx.setStorageSync` and its siblings. */
export class PhoneStorage {
  /** Makes calls fail; undefined for a healthy store. */
  fault: StorageFault | undefined;
  /** Bytes that other data occupy, to fill the storage. */
  occupied = 0;
  private readonly values = new Map<string, string>();

  get(key: string): unknown {
    this.before('get', key);
    const text = this.values.get(key);
    if (text === undefined) return '';
    try {
      return (JSON.parse(text) as { data: unknown }).data;
    } catch {
      return text;
    }
  }

  set(key: string, data: unknown): void {
    this.before('set', key);
    const text = JSON.stringify({ data });
    const size = sizeOf(text);
    if (size > MAX_KEY_BYTES) throw failure('setStorageSync', 'entry size limit reached');
    if (this.size() - this.sizeAt(key) + size > MAX_BYTES)
      throw failure('setStorageSync', 'exceed storage max size 10Mb');
    this.values.set(key, text);
  }

  remove(key: string): void {
    this.before('remove', key);
    this.values.delete(key);
  }

  clear(): void {
    this.values.clear();
  }

  info(): StorageInfo {
    this.before('info', '');
    return { keys: this.keys(), currentSize: Math.ceil(this.size() / 1024), limitSize: MAX_BYTES / 1024 };
  }

  /** Lists the keys, whatever `fault` says. */
  keys(): string[] {
    return Array.from(this.values.keys());
  }

  /** Overwrites the stored bytes of a key, as a defect of the disk would. */
  damage(key: string, change: (text: string) => string): void {
    const text = this.values.get(key);
    if (text !== undefined) this.values.set(key, change(text));
  }

  private before(call: StorageCall, key: string): void {
    if (this.fault) this.fault(call, key);
  }

  private size(): number {
    let size = this.occupied;
    for (const key of this.keys()) size += this.sizeAt(key);
    return size;
  }

  private sizeAt(key: string): number {
    const text = this.values.get(key);
    return text === undefined ? 0 : sizeOf(text);
  }
}

/** Bytes of the text in UTF-8. */
export function sizeOf(text: string): number {
  let size = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7ff) size += unit >= 0xd800 && unit <= 0xdfff ? 1 : 2;
    else if (unit > 0x7f) size += 1;
  }
  return size;
}
