/** The built packages: syntax, size, globals, and the documents of their errors. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { parse } from 'acorn';
import { rollup } from 'rollup';
import { minify } from 'terser';
import { macrotaskPromise, VirtualClock, World } from '@avalon-wx/wx-stand-in';
import { runScript } from '@avalon-wx/wx-stand-in/node';
import type * as Sdk from '../src/index.js';
import { SDK_VERSION } from '../src/index.js';
import { FakeService } from './support/fake-service.js';
import { ORIGIN } from './support/setup.js';

const WORKSPACE = new URL('../../../../', import.meta.url).pathname;
const PACKAGE = join(WORKSPACE, 'packages/sdk');
const FILES = {
  'sdk/dist/avalon.js': 'module',
  'sdk/dist/umd/avalon.js': 'script',
  'open-data-context/dist/index.js': 'module',
  'open-data-context/dist/umd/index.js': 'script',
} as const;

function read(file: string): string {
  return readFileSync(join(WORKSPACE, 'packages', file), 'utf8');
}

test('bundles_are_es2015', () => {
  for (const [file, sourceType] of Object.entries(FILES))
    parse(read(file), { ecmaVersion: 2015, sourceType });
});

test('bundles_use_no_forbidden_globals', () => {
  const names =
    'eval|Proxy|window|document|localStorage|XMLHttpRequest|fetch|navigator|process|Buffer|TextEncoder|setInterval';
  // Neither a property nor a text.
  const forbidden = new RegExp(`(?<![.'"\\w])(?:${names})\\b(?!['":])|new Function|createCanvas\\(`);
  for (const file of Object.keys(FILES)) {
    const code = read(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    const found = forbidden.exec(code);
    assert.equal(found, null, `${file}: ${found && code.slice(found.index - 40, found.index + 40)}`);
  }
});

test('error_documents_list_every_code', () => {
  const schema = readFileSync(join(PACKAGE, 'src/api/schema.ts'), 'utf8');
  const service = /ProblemCode: ([^;]+);/.exec(schema)?.[1] ?? '';
  const own =
    /ClientErrorCode =([^;]+);/.exec(readFileSync(join(PACKAGE, 'src/base/errors.ts'), 'utf8'))?.[1] ?? '';
  const refusals =
    /RefusalCode =([^;]+);/.exec(readFileSync(join(PACKAGE, 'src/payments/purchase.ts'), 'utf8'))?.[1] ?? '';
  const codes = (service + own + refusals).match(/[A-Z][A-Z_]+/g) as string[];
  assert.ok(codes.length > 60);
  for (const document of ['docs/errors.md', 'docs/errors.zh-CN.md']) {
    const listed = readFileSync(join(WORKSPACE, document), 'utf8').match(/(?<=^\| `)[A-Z_]+/gm) as string[];
    assert.deepEqual([...new Set(listed)].sort(), [...new Set(codes)].sort(), document);
  }
});

test('version_equals_that_of_the_package', () => {
  assert.equal((JSON.parse(read('sdk/package.json')) as { version: string }).version, SDK_VERSION);
});

/** Bytes of a module that games would bundle: minified, compressed. `SDK` in it is the built package. */
async function sizeOf(entry: string, module = 'export * from SDK;'): Promise<number> {
  const input = JSON.stringify(join(WORKSPACE, 'packages', entry));
  const virtual = {
    name: 'virtual',
    resolveId: (id: string) => (id === 'entry' ? id : null),
    load: (id: string) => (id === 'entry' ? module.replace('SDK', input) : null),
  };
  const bundle = await rollup({ input: 'entry', plugins: [virtual, nodeResolve()] });
  const { output } = await bundle.generate({ format: 'es' });
  const { code } = await minify(output[0].code, { module: true, ecma: 2015 });
  return gzipSync(code as string, { level: 9 }).length;
}

/** The module of a game that names its parts. */
function composed(...parts: string[]): string {
  const names = ['composeClient', ...parts].join();
  return `import { ${names} } from SDK; export default composeClient(${["{ baseUrl: '' }", ...parts].join()});`;
}

test('sizes_stay_within_their_budgets', async () => {
  const SDK = 'sdk/dist/avalon.js';
  const sizes = {
    full: await sizeOf(SDK),
    basic: await sizeOf(SDK, 'export { createBasicClient } from SDK;'),
    session: await sizeOf(SDK, composed()),
    signedEvents: await sizeOf(SDK, composed('signing', 'events')),
    signedPayments: await sizeOf(SDK, composed('signing', 'payments')),
    eventsAndPayments: await sizeOf(SDK, composed('manualEvents', 'payments')),
    openData: await sizeOf('open-data-context/dist/index.js'),
  };
  console.log(`sizes, minified and gzipped: ${JSON.stringify(sizes)}`);
  const budgets: typeof sizes = {
    full: 14 * 1024,
    basic: 12.1 * 1024,
    session: 6 * 1024,
    signedEvents: 9.25 * 1024,
    signedPayments: 9.75 * 1024,
    eventsAndPayments: 10.75 * 1024,
    openData: 6 * 1024,
  };
  for (const [name, budget] of Object.entries(budgets))
    assert.ok(sizes[name as keyof typeof sizes] < budget, `${name}: ${sizes[name as keyof typeof sizes]}`);
});

test('umd_runs_where_promises_are_macrotasks', async () => {
  const clock = new VirtualClock();
  const service = new FakeService(() => clock.now());
  const world = new World({ clock, transport: service.transport });
  const phone = world.phone({ player: 'alice', platform: 'ios' });
  const { host } = phone.launch();
  const Late = macrotaskPromise((run, delay) => host.setTimeout(run, delay));
  const globals = {
    wx: host.wx,
    setTimeout: host.setTimeout,
    clearTimeout: host.clearTimeout,
    Promise: Late,
  };
  const sdk = runScript(read('sdk/dist/umd/avalon.js'), globals) as unknown as typeof Sdk;
  const client = sdk.createClient({ baseUrl: ORIGIN, host });
  const user = await clock.until(client.login());
  assert.equal(user._id, 'user-alice');
  world.platform.pay = ({ parameters }) => {
    service.pay((JSON.parse(String(parameters['signData'])) as { outTradeNo: string }).outTradeNo);
    return Promise.resolve();
  };
  assert.equal((await clock.until(client.payments.pay('gems', 1))).status, 'paid');
  client.events.track('play');
  await clock.until(client.events.flush());
  assert.ok([...service.events.values()].some(({ eventName }) => eventName === 'play'));
});

test('umd_attaches_itself_to_game_global', () => {
  const check = '\nmodule.exports.attached = GameGlobal.AvalonWx === module.exports;';
  assert.equal(runScript(read('sdk/dist/umd/avalon.js') + check, {})['attached'], true);
});
