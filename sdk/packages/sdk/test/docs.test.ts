/** The examples of the documents are run, on the stand-in and the service in memory. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createCanvas, Image } from '@napi-rs/canvas';
import * as standIn from '@avalon-wx/wx-stand-in';
import { nodeRealm } from '@avalon-wx/wx-stand-in/node';
import ts from 'typescript';
import * as sdk from '../src/index.js';
import { ORIGIN, QUIET, setUp, type Setup } from './support/setup.js';

const WORKSPACE = new URL('../../../../', import.meta.url).pathname;
const DOCUMENTS = [
  ...readdirSync(join(WORKSPACE, 'docs'))
    .filter((name) => name.endsWith('.md') && !name.endsWith('.zh-CN.md'))
    .map((name) => `docs/${name}`),
  ...['sdk', 'open-data-context', 'wx-stand-in'].map((name) => `packages/${name}/README.md`),
];

function examples(document: string): string[] {
  const text = readFileSync(join(WORKSPACE, document), 'utf8');
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code as string);
}

/** What happened while the examples ran. */
interface Seen extends Setup {
  readonly messages: unknown[];
  readonly granted: unknown[];
  readonly levels: number[];
  readonly drawn: number;
  readonly client: () => sdk.Client;
  readonly bridge: { readonly [name: string]: unknown };
}

/** Runs the examples of a document in order. */
async function run(document: string): Promise<Seen> {
  // The code of the open data context is another package's; here it only has to receive messages.
  const realm = nodeRealm({
    source: '',
    createCanvas: (width, height) => createCanvas(width, height) as never,
    createImage: () => new Image(),
  });
  const setup = setUp({ realm });
  const { clock, phone, service } = setup;
  phone.subscriptions.panel = (ids) => Object.fromEntries(ids.map((id) => [id, 'accept']));
  const seen = { messages: [] as unknown[], granted: [] as unknown[], levels: [] as number[], drawn: 0 };
  const { host } = phone.launch({ query: { level: '3' } });
  const createClient = (options: object): sdk.Client =>
    sdk.createClient({ baseUrl: ORIGIN, autoTrack: QUIET, host, ...options });
  // A second client of the game, which has one in all other examples.
  const composeClient = (_options: object, ...parts: sdk.Part<object>[]): object =>
    sdk.composeClient({ baseUrl: ORIGIN, host: { ...host, global: {} } }, ...parts);
  const modules: { [name: string]: object } = {
    '@avalon-wx/sdk': { ...sdk, createClient, composeClient },
    '@avalon-wx/wx-stand-in': standIn,
  };
  const bridge: { [name: string]: unknown } = {};
  const box = { x: 20, y: 40, width: 600, height: 800 };
  const globals = {
    GameGlobal: Object.assign(bridge, {
      Module: { SendMessage: (...values: unknown[]) => seen.messages.push(values) },
    }),
    wx: {
      createCanvas: () => ({
        width: 750,
        height: 1624,
        getContext: () => ({ drawImage: () => seen.drawn++ }),
      }),
    },
    console: { log: (...values: unknown[]) => seen.messages.push(values) },
    rankingNode: { getComponent: () => ({ getBoundingBoxToWorld: () => box }) },
    fakeServer: service.transport,
    requestAnimationFrame: () => 0,
    showMessage: (text: string) => seen.messages.push(text),
    grant: (items: unknown) => seen.granted.push(items),
    currentLevel: () => 7,
    openLevel: (level: number) => seen.levels.push(level),
    onSceneClosed: () => undefined,
    drawEveryFrame: () => seen.drawn++,
    require: (name: string) => modules[name],
    exports: {},
  };
  for (const code of examples(document)) {
    const { outputText } = ts.transpileModule(code, {
      compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 },
    });
    const body = `return (async () => {${outputText}\n})();`;
    // The first example of most documents creates the client of the others.
    const client = code.includes('createClient(') ? undefined : createClient({});
    const values = { ...globals, client };
    const example = new Function(...Object.keys(values), body) as (...values: unknown[]) => Promise<void>;
    const done = example(...Object.values(values));
    // An example with a clock of its own does not wait for this one.
    await (code.includes('new VirtualClock') ? done : clock.until(done));
    await clock.advance(1000);
  }
  return Object.assign(seen, setup, { bridge, client: () => createClient({}) }) as unknown as Seen;
}

/** What must come out of the examples of each document. */
const EXPECTED: { [document: string]: (seen: Seen) => unknown } = {
  'docs/first-purchase.md': ({ granted, service }) => {
    assert.equal(service.orders[0]?.status, 'paid');
    assert.ok(granted.length > 0);
  },
  'docs/recipes.md': ({ levels, drawn, service, messages }) => {
    assert.deepEqual(levels, [3]);
    assert.equal(drawn, 1);
    assert.deepEqual(service.scores, [{ board: 'score', score: 950 }]);
    assert.ok(messages.includes('We will remind you.'));
    assert.equal(service.orders[0]?.status, 'paid');
  },
  'docs/engines.md': ({ drawn, phone }) => {
    assert.equal(drawn, 1);
    assert.equal(phone.game?.openData.messages.length, 2);
  },
  'docs/migration.md': ({ phone, client }) => {
    client().events.track('level_end', { level: 3 });
    assert.deepEqual(phone.reported, [{ eventId: 'level_end_id', data: { level: 3 } }]);
  },
  'packages/sdk/README.md': ({ messages, service }) => {
    assert.equal(service.orders[0]?.status, 'paid');
    assert.ok(messages.some((line) => (line as unknown[])[1] === 'paid'));
  },
  'packages/wx-stand-in/README.md': ({ messages }) => assert.equal(messages.length, 1),
};

for (const document of DOCUMENTS.filter((name) => examples(name).length > 0)) {
  test(`examples_of_${document.replace(/\W+/g, '_')}_run`, async () => {
    const seen = await run(document);
    const check = EXPECTED[document];
    assert.ok(check, `${document} has examples whose result nothing checks`);
    check(seen);
  });
}

test('bridge_of_the_engines_document_pays', async () => {
  const seen = await run('docs/engines.md');
  const { pay } = seen.bridge['avalonBridge'] as { pay(id: string, quantity: number): void };
  pay('gems', 1);
  await seen.clock.advance(20_000);
  const [target, method, result] = seen.messages[0] as string[];
  assert.deepEqual([target, method], ['Avalon', 'OnPaid']);
  assert.equal((JSON.parse(result as string) as { status: string }).status, 'paid');
});
