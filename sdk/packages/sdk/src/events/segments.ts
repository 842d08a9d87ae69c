/**
 * The queue of events in storage: segments of at most 64 KiB, at most 20, the oldest dropped and counted. Each segment
 * is one key that is written as a whole, so a kill between two storage calls loses nothing that was written. A segment
 * carries its digest; a damaged one is dropped and counted.
 *
 * Events are JSON texts. They are removed only when the service has acknowledged them, so one may be sent twice, and
 * the service stores it once by its `eventId`.
 */
import type { Store } from '../base/store.js';
import { digest, utf8Length } from './digest.js';

export const MAX_SEGMENT_BYTES = 64 * 1024;
export const MAX_SEGMENTS = 20;

const KEY = 'events:';
const FORMAT = '1';

/** @internal */
interface Segment {
  /** Part of the key; 0 until the segment is written for the first time. */
  id: number;
  events: string[];
  bytes: number;
  dirty: boolean;
}

/** Why events were dropped, with their number. */
export interface Dropped {
  overflow: number;
  damaged: number;
}

export class Segments {
  readonly dropped: Dropped = { overflow: 0, damaged: 0 };
  private segments: Segment[] = [];
  private last = 0;
  private loaded = false;

  constructor(private readonly store: Store) {
    this.load();
  }

  /** The number of events, stored or not. */
  get count(): number {
    return this.segments.reduce((sum, segment) => sum + segment.events.length, 0);
  }

  get dirty(): boolean {
    return this.segments.some((segment) => segment.dirty);
  }

  /** Adds an event in memory; `save` stores it. */
  append(event: string): void {
    const size = utf8Length(event) + 1;
    let segment = this.segments[this.segments.length - 1];
    if (!segment || segment.bytes + size > MAX_SEGMENT_BYTES) {
      segment = { id: 0, events: [], bytes: 0, dirty: true };
      this.segments.push(segment);
      if (this.segments.length > MAX_SEGMENTS) this.dropOldest();
    }
    segment.events.push(event);
    segment.bytes += size;
    segment.dirty = true;
  }

  /** Writes what changed; returns whether everything is stored. A full disk costs the oldest segment first. */
  save(): boolean {
    if (!this.load()) return false;
    for (const segment of this.segments.slice()) {
      if (!segment.dirty) continue;
      if (!this.write(segment) && !(this.segments.length > 1 && this.makeRoom(segment))) return false;
    }
    return true;
  }

  /** Returns the first events: at most `maxCount`, at most `maxBytes`, but at least one if there is any. */
  head(maxCount: number, maxBytes: number): string[] {
    const batch: string[] = [];
    let bytes = 0;
    for (const segment of this.segments) {
      for (const event of segment.events) {
        bytes += utf8Length(event) + 1;
        if (batch.length > 0 && (batch.length >= maxCount || bytes > maxBytes)) return batch;
        batch.push(event);
      }
    }
    return batch;
  }

  /** Removes acknowledged events, which may have been dropped meanwhile. */
  remove(batch: string[]): void {
    const gone = new Set(batch);
    for (const segment of this.segments.slice()) {
      const left = segment.events.filter((event) => !gone.has(event));
      if (left.length === segment.events.length) continue;
      segment.events = left;
      segment.bytes = sizeOf(left);
      segment.dirty = true;
      if (left.length > 0) this.save();
      else this.drop(segment);
    }
  }

  clear(): void {
    for (const segment of this.segments.slice()) this.drop(segment);
  }

  /** Reads what an earlier run stored. Until that succeeded nothing is written, or it would be overwritten. */
  private load(): boolean {
    if (this.loaded) return true;
    const keys = this.store.keys(KEY);
    if (keys === undefined) return false;
    this.loaded = true;
    const ids = keys
      .map((key) => Number(key.slice(KEY.length)))
      .filter((id) => id > 0 && Math.floor(id) === id)
      .sort((a, b) => a - b);
    const stored: Segment[] = [];
    for (const id of ids) {
      this.last = id;
      const value = this.store.readRaw(KEY + id);
      const events = decode(value);
      if (events) {
        stored.push({ id, events, bytes: sizeOf(events), dirty: false });
      } else if (value !== undefined && this.store.remove(KEY + id)) {
        // A key that cannot be read now stays: the next start may be able to.
        this.dropped.damaged += 1;
      }
    }
    this.segments = stored.concat(this.segments);
    while (this.segments.length > MAX_SEGMENTS) this.dropOldest();
    return true;
  }

  private write(segment: Segment): boolean {
    if (segment.id === 0) segment.id = ++this.last;
    if (!this.store.writeRaw(KEY + segment.id, encode(segment.events))) return false;
    segment.dirty = false;
    return true;
  }

  private makeRoom(segment: Segment): boolean {
    if (this.segments[0] === segment) return false;
    this.dropOldest();
    return this.write(segment);
  }

  private dropOldest(): void {
    const oldest = this.segments[0] as Segment;
    this.dropped.overflow += oldest.events.length;
    this.drop(oldest);
  }

  private drop(segment: Segment): void {
    this.segments = this.segments.filter((known) => known !== segment);
    if (segment.id > 0) this.store.remove(KEY + segment.id);
  }
}

function sizeOf(events: string[]): number {
  return events.reduce((sum, event) => sum + utf8Length(event) + 1, 0);
}

function encode(events: string[]): string {
  const text = JSON.stringify(events);
  return `${FORMAT}|${digest(text)}|${text}`;
}

function decode(value: unknown): string[] | undefined {
  if (typeof value !== 'string') return undefined;
  const [format, sum] = value.split('|', 2);
  if (format !== FORMAT || sum === undefined) return undefined;
  const text = value.slice(format.length + sum.length + 2);
  if (digest(text) !== sum) return undefined;
  try {
    const events = JSON.parse(text) as unknown;
    return Array.isArray(events) && events.every((event) => typeof event === 'string') ? events : undefined;
  } catch {
    return undefined;
  }
}
