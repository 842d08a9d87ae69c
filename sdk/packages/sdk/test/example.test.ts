/** The sample game, and the packages as npm installs them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { createCanvas, Image } from '@napi-rs/canvas';
import { nodeRealm, runScript } from '@avalon-wx/wx-stand-in/node';
import { setUp } from './support/setup.js';

const WORKSPACE = new URL('../../../../', import.meta.url).pathname;
const EXAMPLE = join(WORKSPACE, 'example');

/** CommonJS as in a mini-game: every file in the same realm. */
function load(file: string, globals: Record<string, unknown>): unknown {
  const require = (name: string): unknown => load(join(dirname(file), name), globals);
  return runScript(readFileSync(file, 'utf8'), { ...globals, require });
}

test('example_is_played_on_the_stand_in', async () => {
  const bundle = readFileSync(join(EXAMPLE, 'openDataContext/lib/open-data-context.js'), 'utf8');
  const realm = nodeRealm({
    source: `${bundle}\nmodule.exports.start();`,
    createCanvas: (width, height) => createCanvas(width, height) as never,
    createImage: () => new Image(),
  });
  const { clock, world, service, phone } = setUp({ realm });
  world.befriend('alice', 'bob');
  const { host } = phone.launch({ query: { score: '900' } });
  let frame: (() => void) | undefined;
  let touch: ((event: object) => void) | undefined;
  const texts: string[] = [];
  const screen = createCanvas(1, 1);
  const ctx = screen.getContext('2d');
  ctx.fillText = (text) => void texts.push(text);
  const wx = {
    ...host.wx,
    createCanvas: () => screen,
    onTouchEnd: (listener: (event: object) => void) => (touch = listener),
    showModal: () => undefined,
  };
  const requestAnimationFrame = (run: () => void): void => {
    frame = run;
  };
  load(join(EXAMPLE, 'game.js'), {
    wx,
    requestAnimationFrame,
    setTimeout: host.setTimeout,
    clearTimeout: host.clearTimeout,
    console,
  });
  const message = async (): Promise<string> => {
    await clock.advance(3000);
    texts.length = 0;
    frame?.();
    return texts[0] as string;
  };
  const tap = async (column: number, row: number): Promise<string> => {
    touch?.({ changedTouches: [{ pageX: 40 + column * 190, pageY: 80 + row * 60 }] });
    return message();
  };
  assert.equal(await message(), 'signed-in');
  assert.equal(await tap(0, 0), 'gems × 2');
  assert.equal(service.orders[0]?.status, 'paid');
  assert.equal(await tap(1, 0), 'left: 1');
  assert.equal(await tap(0, 1), 'coins: paid');
  assert.equal(await tap(1, 1), 'rank 1');
  phone.sharing.picker = () => ({ friend: 'bob' });
  await tap(0, 2);
  assert.match(phone.sharing.cards[0]?.query as string, /^score=100&shareId=/);
  await tap(1, 2);
  assert.equal(phone.game?.openData.messages.length, 1);
  assert.equal(await tap(0, 3), '{"TEMPLATE_ID":"accept"}');
  assert.equal(await tap(1, 3), 'user-alice');
});

/** The files below a folder, relative to it. */
function filesOf(folder: string, below = ''): string[] {
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesOf(folder, join(below, entry.name)) : [join(below, entry.name)],
  );
}

test('example_has_what_devtools_demands_of_a_project', () => {
  const json = (name: string) =>
    JSON.parse(readFileSync(join(EXAMPLE, name), 'utf8')) as { [key: string]: never };
  const project: { compileType?: string; appid?: string; libVersion?: string; miniprogramRoot?: string } =
    json('project.config.json');
  assert.equal(project.compileType, 'game');
  assert.ok(project.appid);
  assert.match(project.libVersion ?? '', /^\d+\.\d+\.\d+$/);
  assert.equal(project.miniprogramRoot, undefined, 'the game is in the root');

  const game: {
    deviceOrientation?: string;
    openDataContext?: string;
    networkTimeout?: { [task: string]: number };
  } = json('game.json');
  const known =
    'deviceOrientation showStatusBar networkTimeout workers subpackages openDataContext permission';
  for (const name of Object.keys(game)) assert.ok(known.split(' ').includes(name), name);
  assert.match(game.deviceOrientation ?? '', /^(portrait|landscape|landscapeLeft|landscapeRight)$/);
  for (const timeout of Object.values(game.networkTimeout ?? {})) assert.ok(timeout <= 60_000);

  const files = filesOf(EXAMPLE);
  const context = `${game.openDataContext}/`;
  for (const entry of ['game.js', 'game.json', `${context}index.js`]) assert.ok(files.includes(entry), entry);
  const ignored = ['README.md', 'project.config.json'];
  let bytes = 0;
  for (const file of files.filter((name) => !ignored.includes(name))) {
    assert.match(file, /\.(js|json)$/, 'a file that would not be uploaded');
    const code = readFileSync(join(EXAMPLE, file), 'utf8');
    bytes += Buffer.byteLength(code);
    for (const [, name = ''] of code.matchAll(/\brequire\('([^']*)'\)/g)) {
      const target = join(dirname(file), name);
      assert.ok(name.startsWith('./') && files.includes(target), `${file} requires ${name}`);
      // The game and its open data context cannot load each other's files.
      assert.equal(target.startsWith(context), file.startsWith(context), `${file} requires ${name}`);
    }
  }
  assert.ok(bytes < 4 * 1024 * 1024, 'the main package has at most 4 MB');
});

test('packed_packages_work_where_they_are_installed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'avalon-pack-'));
  const run = (command: string, ...args: string[]): string =>
    execFileSync(command, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const archives = ['sdk', 'open-data-context', 'wx-stand-in'].map((name) => {
      const output = run('npm', 'pack', '--json', join(WORKSPACE, 'packages', name));
      return (JSON.parse(output) as { filename: string; files: { path: string }[] }[])[0] as {
        filename: string;
        files: { path: string }[];
      };
    });
    for (const { files } of archives) {
      const paths = files.map(({ path }) => path);
      for (const file of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE'])
        assert.ok(paths.includes(file), file);
      assert.ok(
        files.every(
          ({ path }) => !/(^|\/)(test|src\/.*\.ts$)|tsbuildinfo/.test(path) || path.endsWith('.d.ts'),
        ),
      );
    }
    writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}');
    const files = archives.map(({ filename }) => `./${filename}`);
    run('npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', ...files);
    writeFileSync(
      join(folder, 'game.mjs'),
      `import { createClient } from '@avalon-wx/sdk';
       import * as ranking from '@avalon-wx/open-data-context';
       import { VirtualClock, World } from '@avalon-wx/wx-stand-in';
       import { createRequire } from 'node:module';
       const clock = new VirtualClock();
       const world = new World({ clock, transport: () => Promise.resolve({ statusCode: 200, header: {}, body: '{"products":[]}' }) });
       const client = createClient({ baseUrl: 'https://a.example', host: world.phone({ player: 'a' }).launch().host });
       const products = await clock.until(client.payments.products());
       const umd = createRequire(import.meta.url)('@avalon-wx/sdk');
       console.log(products.length, typeof ranking.start, typeof umd.createClient);`,
    );
    assert.equal(run('node', 'game.mjs').trim(), '0 function function');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
