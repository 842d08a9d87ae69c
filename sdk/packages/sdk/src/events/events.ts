/** Analytics events: accepted at once, stored within 500 ms, sent in batches. No call of it throws in the game. */
import { warn } from '../base/emitter.js';
import type { Host } from '../base/host.js';
import type { Ids } from '../base/ids.js';
import type { AppState } from '../base/lifecycle.js';
import { isString, type Store } from '../base/store.js';
import type { Http } from '../http/http.js';
import { utf8Length } from './digest.js';
import { PlaySession } from './play-session.js';
import { Properties, type EventParams } from './properties.js';
import { Segments } from './segments.js';
import { Sender } from './sender.js';

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

/** @internal */
export interface EventsParts {
  readonly host: Host;
  readonly http: Http;
  readonly store: Store;
  readonly app: AppState;
  readonly ids: Ids;
  readonly signedIn: () => boolean;
  readonly envelope: () => object;
  /** Passes every event on to other systems. */
  readonly forward: (name: string, params: EventParams) => void;
}

const SAVE_MS = 500;
const SEND_MS = 5000;
/** Events after which a batch is sent without waiting. */
const SEND_COUNT = 20;
const MAX_PARAMS_BYTES = 8192;
const MAX_DURATION_S = 86400;
const STATUS = 'track-status';

export class EventQueue implements Events {
  readonly session: PlaySession;
  private readonly segments: Segments;
  private readonly sender: Sender;
  private readonly properties: Properties;
  private readonly started = new Map<string, number>();
  private readonly rejections: { [code: string]: number } = {};
  private status: TrackStatus;
  private saving: unknown;

  constructor(private readonly parts: EventsParts) {
    const { host, http, store, app, ids, signedIn, envelope } = parts;
    this.status = store.read(STATUS, isStatus) || 'normal';
    this.segments = new Segments(store);
    this.properties = new Properties(store);
    this.session = new PlaySession(host, ids);
    this.sender = new Sender({
      host,
      http,
      segments: this.segments,
      envelope,
      allowed: () => this.status === 'normal' && signedIn() && app.connected,
      rejected: (code, count) => this.reject(code, count),
    });
    if (this.segments.count > 0) this.sender.schedule(SEND_MS);
  }

  /** Follows the game's life; called after whatever records events at the same moments. */
  listen(): void {
    const { app } = this.parts;
    app.hidden.add(() => this.hide());
    app.shown.add(() => this.show());
    app.online.add(() => this.sender.retryNow());
  }

  track(name: string, params?: EventParams): void {
    this.record(name, params, false);
  }

  trackNow(name: string, params?: EventParams): void {
    if (this.record(name, params, true)) this.sender.schedule(0);
  }

  timeEvent(name: string): void {
    this.started.set(name, this.parts.host.now());
  }

  setSuperProperties(properties: EventParams): void {
    this.properties.set(properties);
  }

  unsetSuperProperty(name: string): void {
    this.properties.unset(name);
  }

  clearSuperProperties(): void {
    this.properties.clear();
  }

  setDynamicSuperProperties(read: (() => EventParams) | undefined): void {
    this.properties.setDynamic(read);
  }

  setTrackStatus(status: TrackStatus): void {
    if (!isStatus(status)) return warn('setTrackStatus', status);
    this.status = status;
    this.parts.store.write(STATUS, status);
    if (status === 'stop') this.segments.clear();
    if (status === 'normal') this.sender.schedule(0);
  }

  flush(): Promise<void> {
    this.save();
    return this.sender.flush();
  }

  stats(): EventStats {
    const { overflow, damaged } = this.segments.dropped;
    return {
      queued: this.segments.count,
      dropped: overflow + damaged,
      rejected: Object.assign({}, this.rejections),
    };
  }

  /** Sends soon, for example because the player has just signed in. */
  wake(): void {
    this.sender.schedule(0);
  }

  private record(name: string, params: EventParams | undefined, realtime: boolean): boolean {
    if (this.status === 'pause' || this.status === 'stop') return false;
    const { host, ids } = this.parts;
    const text = this.encode(name, params, realtime, host.now(), ids.next());
    if (text === undefined) return false;
    this.segments.append(text);
    if (realtime) this.save();
    else if (this.saving === undefined) this.saving = host.setTimeout(() => this.save(), SAVE_MS);
    this.sender.schedule(this.segments.count >= SEND_COUNT ? SAVE_MS : SEND_MS);
    return true;
  }

  private encode(
    name: string,
    params: EventParams | undefined,
    realtime: boolean,
    timestamp: number,
    eventId: string,
  ): string | undefined {
    try {
      const eventParams = this.properties.merge(this.withDuration(name, params));
      const size = utf8Length(JSON.stringify(eventParams));
      if (!isName(name) || size > MAX_PARAMS_BYTES) {
        return this.refuse(name, size > MAX_PARAMS_BYTES ? 'EVENT_PARAMS_TOO_LARGE' : 'EVENT_NAME_INVALID');
      }
      const event = { eventId, eventName: name, eventParams, timestamp, sessionId: this.session.id };
      this.parts.forward(name, eventParams);
      return JSON.stringify(realtime ? Object.assign({ realtime }, event) : event);
    } catch (error) {
      // Such as a cycle in the parameters.
      return this.refuse(name, 'EVENT_PARAMS_INVALID', error);
    }
  }

  private withDuration(name: string, params: EventParams | undefined): EventParams | undefined {
    const since = this.started.get(name);
    if (since === undefined) return params;
    this.started.delete(name);
    const seconds = (this.parts.host.now() - since) / 1000;
    return Object.assign({ duration: Math.min(MAX_DURATION_S, Math.max(0, seconds)) }, params);
  }

  private save(): void {
    const { host } = this.parts;
    if (this.saving !== undefined) host.clearTimeout(this.saving);
    this.saving = undefined;
    // A store that fails now may work again: memory holds the events until then.
    if (!this.segments.save()) this.saving = host.setTimeout(() => this.save(), SEND_MS);
    // A store that could not be read at the start may have given up older events now.
    if (this.segments.count > 0) this.sender.schedule(SEND_MS);
  }

  /** Storage comes first: whether a request in the background arrives is uncertain. */
  private hide(): void {
    this.session.hide();
    this.save();
    void this.sender.flush();
  }

  private show(): void {
    this.session.show();
    if (this.segments.count > 0) this.sender.retryNow();
  }

  private refuse(name: unknown, code: string, ...reason: unknown[]): undefined {
    warn(`event ${String(name)}: ${code}`, ...reason);
    this.reject(code, 1);
    return undefined;
  }

  private reject(code: string, count: number): void {
    this.rejections[code] = (this.rejections[code] || 0) + count;
  }
}

function isStatus(value: unknown): value is TrackStatus {
  return isString(value) && ['normal', 'save-only', 'pause', 'stop'].indexOf(value) >= 0;
}

/** 1 to 64 letters, digits or `_.:/$#-`; whether another script's character is a letter is left to the service. */
function isName(name: unknown): name is string {
  return isString(name) && name.length <= 64 && /^(?:[\w.:/$#-]|[^\x00-\x7f])+$/.test(name);
}
