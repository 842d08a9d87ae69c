/** Analytics events: accepted at once, stored within 500 ms, sent in batches. No call of it throws in the game. */
import { warn } from '../base/emitter.js';
import { defined, isString } from '../base/values.js';
import { part, type Core } from '../core.js';
import { utf8Length } from './digest.js';
import { forward } from './forward.js';
import { recordPresets } from './presets.js';
import { createProperties, type EventParams } from './properties.js';
import { createSegments } from './segments.js';
import { createSender } from './sender.js';

/**
 * `normal` records and sends, `save-only` records, `pause` ignores new events and sends nothing, `stop` also deletes
 * what is queued.
 */
export type TrackStatus = 'normal' | 'save-only' | 'pause' | 'stop';

/** Numbers about the queue since the game started. */
export interface EventStats {
  readonly queued: number;
  readonly dropped: number;
  readonly rejected: { readonly [code: string]: number };
}

/** Analytics. */
export interface Events {
  /** Records an event. The service lists what it accepts in docs/api.md. */
  track(name: string, params?: EventParams): void;
  /** Records an event that must not wait behind others, and sends it at once. */
  trackNow(name: string, params?: EventParams): void;
  /** Starts a clock; the next event of this name carries `duration` in seconds. */
  timeEvent(name: string): void;
  /** Properties of every event; they outlive the game. */
  setSuperProperties(properties: EventParams): void;
  unsetSuperProperty(name: string): void;
  clearSuperProperties(): void;
  /** Called for every event. */
  setDynamicSuperProperties(read: (() => EventParams) | undefined): void;
  setTrackStatus(status: TrackStatus): void;
  /** Sends what is queued; resolves when the queue is empty or an attempt failed. */
  flush(): Promise<void>;
  stats(): EventStats;
}

/**
 * The events with what only the SDK uses.
 *
 * @internal
 */
export interface EventQueue extends Events {
  /** Seconds in the foreground since the game was shown. */
  foreground(): number;
}

const SAVE_MS = 500;
const SEND_MS = 5000;
/** Events after which a batch is sent without waiting. */
const SEND_COUNT = 20;
const MAX_PARAMS_BYTES = 8192;
const MAX_DURATION_S = 86400;
/** A play session ends after this time in the background. */
const NEW_SESSION_MS = 30000;
const STATUS = 'track-status';

/** Part: records events, also those of the SDK itself (`autoTrack`). */
export const events = part((core) => ({ events: createEvents(core, recordPresets) as Events }));

/** Part: records the events that the game tracks, and none by itself. */
export const manualEvents = part((core) => ({ events: createEvents(core) as Events }));

function createEvents(core: Core, presets?: (core: Core, queue: EventQueue) => void): EventQueue {
  const { host, store, app, ids, device, entries, session, options } = core;
  const properties = createProperties(store);
  const segments = createSegments(store);
  const started = new Map<string, number>();
  const rejections: { [code: string]: number } = {};
  const appVersion = (options.appVersion || device.appVersion).slice(0, 32) || undefined;
  let status = store.read(STATUS, isStatus) || 'normal';
  let saving: unknown;
  let sessionId = ids();
  let shownAt = host.now();
  let hiddenAt = Infinity;

  const reject = (code: string): void => {
    rejections[code] = (rejections[code] || 0) + 1;
  };

  const sender = createSender({
    core,
    segments,
    envelope: () => defined({ platform: device.platform, scene: entries.latest().scene, appVersion }),
    allowed: () => status === 'normal' && session.player() && app.connected,
    reject,
  });

  const save = (): void => {
    host.clearTimeout(saving);
    // A store that fails now may work again: memory holds the events until then.
    saving = segments.save() ? undefined : host.setTimeout(save, SEND_MS);
    // A store that could not be read at the start may have given up older events now.
    if (segments.count()) sender.schedule(SEND_MS);
  };

  const refuse = (name: unknown, code: string, ...reason: unknown[]): undefined => {
    warn(`event ${String(name)}: ${code}`, ...reason);
    reject(code);
  };

  /** Returns the event as JSON; undefined when it is refused. */
  const encode = (name: string, params: EventParams | undefined, realtime?: true): string | undefined => {
    const timestamp = host.now();
    const eventId = ids();
    try {
      const since = started.get(name);
      started.delete(name);
      const eventParams = properties.merge(
        since === undefined
          ? params
          : { duration: Math.min(MAX_DURATION_S, Math.max(0, (timestamp - since) / 1000)), ...params },
      );
      if (utf8Length(JSON.stringify(eventParams)) > MAX_PARAMS_BYTES)
        return refuse(name, 'EVENT_PARAMS_TOO_LARGE');
      if (!isName(name)) return refuse(name, 'EVENT_NAME_INVALID');
      forward(core, name, eventParams);
      return JSON.stringify({ realtime, eventId, eventName: name, eventParams, timestamp, sessionId });
    } catch (error) {
      // Such as a cycle in the parameters.
      return refuse(name, 'EVENT_PARAMS_INVALID', error);
    }
  };

  const record = (name: string, params: EventParams | undefined, realtime?: true): void => {
    if (status === 'pause' || status === 'stop') return;
    const event = encode(name, params, realtime);
    if (!event) return;
    segments.append(event);
    if (realtime) save();
    else if (!saving) saving = host.setTimeout(save, SAVE_MS);
    sender.schedule(realtime ? 0 : segments.count() >= SEND_COUNT ? SAVE_MS : SEND_MS);
  };

  const queue: EventQueue = {
    track: (name, params) => record(name, params),
    trackNow: (name, params) => record(name, params, true),
    timeEvent(name) {
      started.set(name, host.now());
    },
    setSuperProperties: properties.change,
    unsetSuperProperty: properties.unset,
    clearSuperProperties: properties.clear,
    setDynamicSuperProperties: properties.setDynamic,
    setTrackStatus(wanted) {
      if (!isStatus(wanted)) return warn('setTrackStatus', wanted);
      status = wanted;
      store.write(STATUS, status);
      if (status === 'stop') segments.clear();
      if (status === 'normal') sender.schedule(0);
    },
    flush() {
      save();
      return sender.flush();
    },
    stats: () => ({
      queued: segments.count(),
      dropped: segments.dropped(),
      rejected: { ...rejections },
    }),
    foreground: () => Math.max(0, (host.now() - shownAt) / 1000),
  };

  core.record = queue.track;
  if (presets) presets(core, queue);
  // After what records events at the same moments. Storage comes first: whether a request in the background arrives is
  // uncertain.
  app.hidden.listen(() => {
    hiddenAt = host.now();
    void queue.flush();
  });
  app.returned.listen(() => {
    shownAt = host.now();
    if (shownAt - hiddenAt > NEW_SESSION_MS) sessionId = ids();
    hiddenAt = Infinity;
    if (segments.count()) sender.retryNow();
  });
  app.online.listen(sender.retryNow);
  session.changes.listen(({ type }) => {
    if (type === 'signed-in') sender.schedule(0);
  });
  if (segments.count()) sender.schedule(SEND_MS);
  return queue;
}

function isStatus(value: unknown): value is TrackStatus {
  return isString(value) && /^(normal|save-only|pause|stop)$/.test(value);
}

/** 1 to 64 letters, digits or `_.:/$#-`; whether another script's character is a letter is left to the service. */
function isName(name: unknown): name is string {
  return isString(name) && name.length <= 64 && /^(?:[\w.:/$#-]|[^\x00-\x7f])+$/.test(name);
}
