/**
 * The ranking as pixels, drawn by the bundled package in its own realm. Text is drawn as bars, so that the fonts of the
 * machine do not matter. `UPDATE_IMAGES=1` writes the reference images, which are to be looked at.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { createCanvas, Image, type Canvas } from '@napi-rs/canvas';
import { VirtualClock, World, type Game, type OpenDataContext } from '@avalon-wx/wx-stand-in';
import { nodeRealm } from '@avalon-wx/wx-stand-in/node';
import pixelmatch from 'pixelmatch';
import { PNG } from 'pngjs';
import { SHOW } from './support.js';

const PACKAGE = new URL('../../', import.meta.url);
const SOURCE = readFileSync(new URL('dist/umd/index.js', PACKAGE), 'utf8');
const REFERENCES = new URL('test/references/', PACKAGE);
const AVATAR = `data:image/png;base64,${avatar().toString('base64')}`;

function avatar(): Buffer {
  const canvas = createCanvas(8, 8);
  const ctx = canvas.getContext('2d');
  ctx.fillStyle = '#2266cc';
  ctx.fillRect(0, 0, 8, 8);
  return canvas.toBuffer('image/png');
}

/** Draws text as bars of a width that depends on nothing but the text and the size of the font. */
function withBars(canvas: Canvas): Canvas {
  const ctx = canvas.getContext('2d');
  const size = (): number => Number(/(\d+)px/.exec(ctx.font)?.[1]);
  const width = (text: string): number => Array.from(text).length * size() * 0.6;
  ctx.measureText = ((text: string) => ({ width: width(text) })) as never;
  ctx.fillText = (text, x, y) => {
    const left =
      ctx.textAlign === 'right' ? x - width(text) : ctx.textAlign === 'center' ? x - width(text) / 2 : x;
    ctx.fillRect(
      Math.round(left),
      Math.round(y - size() / 3),
      Math.round(width(text)),
      Math.round(size() / 1.5),
    );
  };
  return canvas;
}

interface Stage {
  readonly clock: VirtualClock;
  readonly world: World;
  readonly game: Game;
  readonly context: OpenDataContext;
  readonly canvas: Canvas;
  readonly images: Image[];
  /** Number of times that the canvas was drawn. */
  frames(): number;
}

function stage(mode: 'offscreenCanvas' | 'screenCanvas' = 'offscreenCanvas', friends = 12): Stage {
  const clock = new VirtualClock();
  const world = new World({ clock });
  let drawn = 0;
  const images: Image[] = [];
  let shared: Canvas | undefined;
  const realm = nodeRealm({
    source: `${SOURCE}\nmodule.exports.start();`,
    createCanvas: (width, height) => {
      const canvas = withBars(createCanvas(width, height));
      const ctx = canvas.getContext('2d');
      const clear = ctx.clearRect.bind(ctx);
      ctx.clearRect = (x, y, w, h) => {
        drawn += 1;
        clear(x, y, w, h);
      };
      shared = canvas;
      return canvas as never;
    },
    createImage: () => {
      const image = new Image();
      images.push(image);
      return image;
    },
  });
  const phone = world.phone({ player: 'me', realm });
  for (let index = 0; index < friends; index++) {
    const player = world.player(`friend ${index} with a name that is long`);
    world.befriend('me', player.name);
    if (index % 3 !== 0) player.avatarUrl = AVATAR;
    player.hosted.set('score', JSON.stringify({ wxgame: { score: 1000 - index * 7, update_time: index } }));
  }
  const game = phone.launch();
  const context = game.wx.getOpenDataContext({ sharedCanvasMode: mode });
  return { clock, world, game, context, canvas: shared as Canvas, images, frames: () => drawn };
}

async function show({ context, clock, images }: Stage, change: object = {}, pixelRatio = 2): Promise<void> {
  const message = { ...SHOW, title: 'Friends', own: 950, pixelRatio, ...change };
  context.canvas.width = message.width * pixelRatio;
  context.canvas.height = message.height * pixelRatio;
  context.postMessage(message);
  await clock.advance(500);
  // Images decode outside of virtual time.
  for (let waited = 0; waited < 200 && !images.every(({ complete }) => complete); waited++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
  await clock.advance(100);
}

/** Shows the ranking of a group with one friend and one stranger. */
function showGroup(set: Stage, pixelRatio?: number): Promise<void> {
  set.world.group('g1', ['me', 'friend 1 with a name that is long', 'stranger']);
  set.world.player('stranger').hosted.set('score', '{"wxgame":{"score":5000,"update_time":1}}');
  const shareTicket = set.world.ticket('g1');
  return show(set, { kind: 'group', shareTicket, title: 'Group' }, pixelRatio);
}

function pixels(canvas: Canvas): { width: number; height: number; data: Uint8ClampedArray } {
  // The instance has been made unreadable for the main context; its class has not.
  const ctx = Object.getPrototypeOf(canvas).getContext.call(canvas, '2d') as ReturnType<Canvas['getContext']>;
  return {
    width: canvas.width,
    height: canvas.height,
    data: ctx.getImageData(0, 0, canvas.width, canvas.height).data,
  };
}

function compare(name: string, { canvas }: Stage): void {
  const { width, height, data } = pixels(canvas);
  const file = new URL(`${name}.png`, REFERENCES);
  if (process.env['UPDATE_IMAGES'] || !existsSync(file)) {
    assert.ok(process.env['UPDATE_IMAGES'], `${name}.png is missing; UPDATE_IMAGES=1 writes it`);
    mkdirSync(REFERENCES, { recursive: true });
    const png = new PNG({ width, height });
    png.data = Buffer.from(data);
    writeFileSync(file, PNG.sync.write(png));
  }
  const reference = PNG.sync.read(readFileSync(file));
  assert.deepEqual([reference.width, reference.height], [width, height]);
  const different = pixelmatch(data, reference.data, undefined, width, height, { threshold: 0.1 });
  assert.ok(different <= (width * height) / 1000, `${different} pixels of ${name} differ`);
}

function drag(game: Game, from: number, to: number, steps = 5): void {
  const touch = (y: number) => ({ identifier: 0, pageX: 170, pageY: y, clientX: 170, clientY: y });
  game.openData.touch('TouchStart', { touches: [touch(from)], changedTouches: [touch(from)], timeStamp: 0 });
  for (let step = 1; step <= steps; step++) {
    const y = from + ((to - from) * step) / steps;
    game.openData.touch('TouchMove', {
      touches: [touch(y)],
      changedTouches: [touch(y)],
      timeStamp: step * 16,
    });
  }
  game.openData.touch('TouchEnd', { touches: [], changedTouches: [touch(to)], timeStamp: steps * 16 + 200 });
}

for (const mode of ['offscreenCanvas', 'screenCanvas'] as const) {
  for (const ratio of [1, 2, 3]) {
    const suffix = `${mode}_at_ratio_${ratio}`;

    test(`ranking_in_${suffix}`, async () => {
      const set = stage(mode);
      await show(set, {}, ratio);
      compare(`friends-${ratio}x`, set);
    });

    test(`scrolled_ranking_in_${suffix}`, async () => {
      const set = stage(mode);
      await show(set, {}, ratio);
      drag(set.game, 350, 200);
      await set.clock.advance(500);
      compare(`friends-scrolled-${ratio}x`, set);
    });

    test(`group_ranking_in_${suffix}`, async () => {
      const set = stage(mode);
      await showGroup(set, ratio);
      compare(`group-${ratio}x`, set);
    });

    test(`empty_and_refused_ranking_in_${suffix}`, async () => {
      const empty = stage(mode, 0);
      await show(empty, { own: '' }, ratio);
      compare(`empty-${ratio}x`, empty);
      const refused = stage(mode);
      refused.game.phone.consents.ask = () => 'refuse';
      await show(refused, {}, ratio);
      compare(`refused-${ratio}x`, refused);
    });
  }
}

test('dark_theme_and_theme_object', async () => {
  const dark = stage();
  await show(dark, { theme: 'dark' });
  compare('friends-dark', dark);
  const own = stage();
  await show(own, { colors: JSON.stringify({ background: '#003300', own: '#ff00ff' }) });
  const { data } = pixels(own.canvas);
  assert.deepEqual([...data.slice(0, 3)], [0, 0x33, 0]);
});

test('list_scrolls_with_the_finger_and_stays_in_its_area', async () => {
  const set = stage();
  await show(set);
  const still = pixels(set.canvas).data;
  drag(set.game, 350, 200);
  await set.clock.advance(500);
  assert.notDeepEqual(pixels(set.canvas).data, still);
  const outside = pixels(set.canvas).data;
  drag(set.game, 600, 500);
  await set.clock.advance(500);
  assert.deepEqual(pixels(set.canvas).data, outside);
});

test('states_are_drawn_in_both_languages', async () => {
  for (const language of ['zh_CN', 'en']) {
    const empty = stage('offscreenCanvas', 0);
    await show(empty, { own: '', language });
    compare(language === 'en' ? 'empty-en' : 'empty-2x', empty);
  }
  const failed = stage();
  await show(failed, { kind: 'group', shareTicket: 'unknown' });
  compare('error', failed);
  const loading = stage();
  loading.game.phone.consents.ask = () => new Promise(() => undefined);
  await show(loading, {});
  compare('loading', loading);
});

test('nothing_is_drawn_while_nothing_changes', async () => {
  const set = stage();
  await show(set);
  await set.clock.advance(5000);
  const before = set.frames();
  await set.clock.advance(60_000);
  assert.equal(set.frames(), before);
});

test('hidden_ranking_is_cleared_and_loads_nothing_late', async () => {
  const set = stage();
  await show(set);
  set.context.postMessage({ avalon: 1, type: 'hide' });
  await set.clock.advance(1000);
  assert.ok(pixels(set.canvas).data.every((value) => value === 0));
  set.context.postMessage({ ...SHOW });
  set.context.postMessage({ avalon: 1, type: 'hide' });
  await set.clock.advance(1000);
  assert.ok(pixels(set.canvas).data.every((value) => value === 0));
});

test('main_context_cannot_read_the_canvas_or_send_objects', () => {
  const { context } = stage();
  for (const name of ['getContext', 'toDataURL', 'toBuffer']) {
    assert.throws(() => (context.canvas as unknown as Record<string, () => void>)[name]?.(), /not available/);
  }
  assert.throws(() => context.postMessage({ run: () => undefined }), /primitive/);
  assert.throws(() => context.postMessage({ deep: { date: new Date() } }), /primitive/);
});
