/**
 * The queue of events in storage: segments of at most 64 KiB, at most 20, the oldest dropped and counted. Each segment
 * is one key that is written as a whole, so a kill between two storage calls loses nothing that was written. A segment
 * carries its digest; a damaged one is dropped and counted.
 *
 * Events are JSON texts. They are removed only when the service has acknowledged them, so one may be sent twice, and
 * the service stores it once by its `eventId`.
 */
import type { Store } from '../base/store.js';
import { attempt, isString } from '../base/values.js';
import { digest, utf8Length } from './digest.js';

const MAX_SEGMENT_BYTES = 64 * 1024;
const MAX_SEGMENTS = 20;

const KEY = 'events:';
const FORMAT = '1';

/** @internal */
interface Segment {
  /** Part of the key; 0 until the segment is written for the first time. */
  id: number;
  batch: string[];
  bytes: number;
  dirty: boolean;
}

/** @internal */
export interface Segments {
  /** The number of events, stored or not. */
  count(): number;
  /** The number of events that overflowed, and of segments that were damaged. */
  dropped(): number;
  /** Adds an event in memory; `save` stores it. */
  append(event: string): void;
  /** Writes what changed; returns whether everything is stored. A full disk costs the oldest segment first. */
  save(): boolean;
  /** Returns the first events: at most `maxCount`, at most `maxBytes`, but at least one if there is any. */
  head(maxCount: number, maxBytes: number): string[];
  /** Removes acknowledged events, which may have been dropped meanwhile. */
  remove(batch: string[]): void;
  clear(): void;
}

export function createSegments(store: Store): Segments {
  let segments: Segment[] = [];
  let dropped = 0;
  let last = 0;
  let loaded = false;

  const drop = (segment: Segment): void => {
    segments = segments.filter((known) => known !== segment);
    if (segment.id) store.erase(KEY + segment.id);
  };

  const dropOldest = (): void => {
    const oldest = segments[0] as Segment;
    dropped += oldest.batch.length;
    drop(oldest);
  };

  const limit = (): void => {
    while (segments.length > MAX_SEGMENTS) dropOldest();
  };

  /** Reads what an earlier run stored. Until that succeeded nothing is written, or it would be overwritten. */
  const load = (): boolean => {
    const keys = loaded ? [] : store.list(KEY);
    if (!keys) return false;
    loaded = true;
    const stored: Segment[] = [];
    keys
      .map((key) => Number(key.slice(KEY.length)))
      .filter((id) => id > 0 && id % 1 === 0)
      .sort((a, b) => a - b)
      .forEach((id) => {
        last = id;
        const value = store.readRaw(KEY + id);
        const batch = decode(value);
        if (batch) stored.push({ id, batch, bytes: sizeOf(batch), dirty: false });
        // A key that cannot be read now stays: the next start may be able to.
        else if (value !== undefined && store.erase(KEY + id)) dropped++;
      });
    segments = stored.concat(segments);
    limit();
    return true;
  };

  const write = (segment: Segment): boolean => {
    if (!segment.id) segment.id = ++last;
    const text = JSON.stringify(segment.batch);
    segment.dirty = !store.writeRaw(KEY + segment.id, `${FORMAT}|${digest(text)}|${text}`);
    return !segment.dirty;
  };

  const save = (): boolean =>
    load() &&
    segments.every((segment) => {
      if (!segment.dirty || write(segment)) return true;
      if (segments[0] === segment) return false;
      dropOldest();
      return write(segment);
    });

  load();
  return {
    count: () => segments.reduce((sum, { batch }) => sum + batch.length, 0),
    dropped: () => dropped,
    append(event) {
      const size = sizeOf([event]);
      let segment = segments[segments.length - 1];
      if (!segment || segment.bytes + size > MAX_SEGMENT_BYTES) {
        segment = { id: 0, batch: [], bytes: 0, dirty: true };
        segments.push(segment);
        limit();
      }
      segment.batch.push(event);
      segment.bytes += size;
      segment.dirty = true;
    },
    save,
    head(maxCount, maxBytes) {
      const head: string[] = [];
      let bytes = 0;
      for (const { batch } of segments) {
        for (const event of batch) {
          bytes += sizeOf([event]);
          if (head.length && (head.length >= maxCount || bytes > maxBytes)) return head;
          head.push(event);
        }
      }
      return head;
    },
    remove(events) {
      const gone = new Set(events);
      for (const segment of segments) {
        const left = segment.batch.filter((event) => !gone.has(event));
        if (left.length < segment.batch.length) {
          segment.batch = left;
          segment.bytes = sizeOf(left);
          segment.dirty = true;
          if (left.length) save();
          else drop(segment);
        }
      }
    },
    clear: () => segments.forEach(drop),
  };
}

function sizeOf(events: string[]): number {
  return events.reduce((sum, event) => sum + utf8Length(event) + 1, 0);
}

function decode(value: unknown): string[] | undefined {
  if (!isString(value)) return undefined;
  const [format, sum = ''] = value.split('|', 2);
  const text = value.slice(FORMAT.length + sum.length + 2);
  if (format !== FORMAT || digest(text) !== sum) return undefined;
  const events = attempt(() => JSON.parse(text) as unknown);
  return Array.isArray(events) && events.every(isString) ? events : undefined;
}
