/**
 * The open data context: a realm of its own that receives messages and draws on the shared canvas. Nothing comes back:
 * values of messages are primitives, and the main context cannot read the canvas.
 */
import { callback, failure, type Callbacks } from './callbacks.js';
import type { Clock } from './clock.js';
import type { Consents } from './consent.js';
import { systemInfo } from './device.js';
import type { PhoneSettings } from './phone.js';
import type { Player, World } from './world.js';
import { withoutNewerCalls } from './versions.js';

/** What a realm provides for drawing. */
export interface Drawing {
  createCanvas(width: number, height: number): StandInCanvas;
  createImage(): object;
}

/** The part of a canvas that the stand-in needs. */
export interface StandInCanvas {
  width: number;
  height: number;
  getContext(type: '2d'): unknown;
}

/** Starts the code of the open data context in its own realm; returns a function that ends it. */
export interface Realm {
  readonly drawing: Drawing;
  start(globals: RealmGlobals): void;
}

/** The globals of the open data context. */
export interface RealmGlobals {
  readonly wx: object;
  readonly setTimeout: Clock['setTimeout'];
  readonly clearTimeout: Clock['clearTimeout'];
  readonly requestAnimationFrame: (callback: () => void) => number;
}

export interface Touch {
  readonly identifier: number;
  readonly pageX: number;
  readonly pageY: number;
  readonly clientX: number;
  readonly clientY: number;
}

export interface TouchEvent {
  readonly touches: Touch[];
  readonly changedTouches: Touch[];
  readonly timeStamp: number;
}

export type TouchKind = 'TouchStart' | 'TouchMove' | 'TouchEnd' | 'TouchCancel';

/** What `wx.getOpenDataContext` returns. */
export interface OpenDataContext {
  readonly canvas: StandInCanvas;
  postMessage(message: object): void;
}

interface Row {
  openid: string;
  nickname: string;
  avatarUrl: string;
  KVDataList: { key: string; value: string }[];
}

/** The open data context of one running game. */
export class OpenData {
  /** Messages that were posted, as the context received them. */
  readonly messages: object[] = [];
  /** The mode of the first call, which fixes it. */
  mode: string | undefined;
  private context: OpenDataContext | undefined;
  private readonly listeners = new Set<(message: object) => void>();
  private readonly touches = new Map<TouchKind, Set<(event: TouchEvent) => void>>();

  constructor(
    private readonly world: World,
    private readonly player: Player,
    private readonly phone: PhoneSettings,
    private readonly consents: Consents,
    private readonly realm: Realm | undefined,
    private readonly deliver: (run: () => void) => void,
  ) {}

  /** `wx.getOpenDataContext`. */
  open(options: { sharedCanvasMode?: string } = {}): OpenDataContext {
    if (this.context) return this.context;
    if (!this.realm) throw new Error('getOpenDataContext:fail the phone has no open data context');
    const mode = options.sharedCanvasMode || 'offscreenCanvas';
    this.mode = mode;
    const canvas = this.realm.drawing.createCanvas(300, 150);
    const draw = canvas.getContext.bind(canvas);
    const inner = {
      get width() {
        return canvas.width;
      },
      get height() {
        return canvas.height;
      },
      getContext: (type: '2d') => draw(type),
    };
    this.realm.start({
      wx: this.wx(inner),
      setTimeout: (run, delay) => this.world.clock.setTimeout(() => this.deliver(run), delay),
      clearTimeout: (id) => this.world.clock.clearTimeout(id),
      requestAnimationFrame: (run) => this.world.clock.setTimeout(() => this.deliver(run), 16),
    });
    this.context = { canvas: unreadable(canvas), postMessage: (message) => this.post(message) };
    return this.context;
  }

  /** Sends a touch to the context, in CSS pixels of the screen. */
  touch(kind: TouchKind, event: TouchEvent): void {
    for (const listener of Array.from(this.touches.get(kind) || [])) listener(event);
  }

  private post(message: object): void {
    assertPrimitives(message);
    const copy = JSON.parse(JSON.stringify(message)) as object;
    this.messages.push(copy);
    this.world.clock.setTimeout(() => {
      for (const listener of Array.from(this.listeners)) listener(copy);
    }, 0);
  }

  private wx(sharedCanvas: object): object {
    const drawing = (this.realm as Realm).drawing;
    const touch = (kind: TouchKind) => (listener: (event: TouchEvent) => void) => {
      const set = this.touches.get(kind) || new Set();
      this.touches.set(kind, set.add(listener));
    };
    const wx = {
      getSharedCanvas: () => sharedCanvas,
      onMessage: (listener: (message: object) => void) => this.listeners.add(listener),
      createCanvas: () => drawing.createCanvas(300, 150),
      createImage: () => drawing.createImage(),
      getSystemInfoSync: () => systemInfo(this.phone),
      onTouchStart: touch('TouchStart'),
      onTouchMove: touch('TouchMove'),
      onTouchEnd: touch('TouchEnd'),
      onTouchCancel: touch('TouchCancel'),
      getUserInfo: (options: Callbacks<object> & { openIdList?: string[] }) =>
        this.ask(options, 'getUserInfo', false, () => ({
          data: [{ nickName: this.player.nickname, avatarUrl: this.player.avatarUrl }],
        })),
      getUserCloudStorage: (options: Callbacks<object> & { keyList?: string[] }) =>
        this.ask(options, 'getUserCloudStorage', false, () => ({
          KVDataList: values(this.player, options.keyList),
        })),
      getFriendCloudStorage: (options: Callbacks<object> & { keyList?: string[] }) =>
        this.ask(options, 'getFriendCloudStorage', true, () => ({
          data: this.rows([this.player.name].concat(Array.from(this.player.friends)), options.keyList),
        })),
      getGroupCloudStorage: (
        options: Callbacks<object> & { keyList?: string[]; shareTicket?: string; groupid?: string },
      ) =>
        this.ask(options, 'getGroupCloudStorage', true, () => {
          const group = options.shareTicket
            ? this.world.groupOf(options.shareTicket)
            : this.world.groups.get(options.groupid || '');
          if (!group) throw failure('getGroupCloudStorage', 'invalid shareTicket');
          return { data: this.rows(Array.from(group.members), options.keyList) };
        }),
    };
    return withoutNewerCalls(wx, this.phone.baseLibrary);
  }

  private ask<R>(options: Callbacks<R>, name: string, consent: boolean, work: () => R): void {
    const allowed = consent ? this.consents.require('scope.WxFriendInteraction', name) : Promise.resolve();
    callback(
      this.deliver,
      name,
      options,
      allowed.then(() => Object.assign({ errMsg: `${name}:ok` }, work())),
    );
  }

  private rows(names: string[], keys: string[] | undefined): Row[] {
    const rows: Row[] = [];
    for (const name of names) {
      const player = this.world.player(name);
      const list = values(player, keys);
      // Players who never stored anything are absent.
      if (player.hosted.size > 0) {
        rows.push({
          openid: player.openid,
          nickname: player.nickname,
          avatarUrl: player.avatarUrl,
          KVDataList: list,
        });
      }
    }
    return rows;
  }
}

function values(player: Player, keys: string[] | undefined): { key: string; value: string }[] {
  const list: { key: string; value: string }[] = [];
  for (const key of keys || []) {
    const value = player.hosted.get(key);
    if (value !== undefined) list.push({ key, value });
  }
  return list;
}

/** Hides everything that would read the pixels. The object stays usable for `drawImage`. */
function unreadable(canvas: StandInCanvas): StandInCanvas {
  for (const name of ['getContext', 'toDataURL', 'toBlob', 'toBuffer', 'encode', 'data', 'toTempFilePath']) {
    Object.defineProperty(canvas, name, {
      value: () => {
        throw new Error(`${name} of the shared canvas is not available in the main context.`);
      },
    });
  }
  return canvas;
}

/** WeChat carries primitives only, also inside nested objects. */
function assertPrimitives(value: unknown): void {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return;
  const plain = typeof value === 'object' && (Array.isArray(value) || isPlain(value as object));
  if (!plain) throw new Error(`postMessage:fail only primitive values can be sent, not ${typeof value}`);
  for (const key of Object.keys(value as object))
    assertPrimitives((value as { [key: string]: unknown })[key]);
}

/** A plain object of any realm: its prototype is the root of its chain. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
