// Builds and tests everything: `npm test`, or `npm test -- FILTER` for test files whose path contains FILTER. With the
// path of `avalon` in AVALON also end to end: in Node, and in the browser CHROMIUM (by default /usr/bin/chromium).
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const filter = process.argv[2] ?? '';

function run(command, ...args) {
    const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
    if (status !== 0) process.exit(status ?? 1);
}

run('node', 'scripts/build.mjs', '--tests');
for (const name of ['plain', 'wechat', 'dom']) run('npx', 'tsc', '-p', `type-tests/${name}`);
run('node', 'scripts/check-docs.mjs');
const files = ['wx-stand-in', 'open-data-context', 'sdk']
    .map((name) => join(root, 'packages', name, 'build/test'))
    .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
    .filter((file) => file.endsWith('.test.js') && file.includes(filter));
run('node', '--test', '--test-reporter=dot', ...files);
// Once more on the bundle that games get, in which the build has renamed properties.
const bundled = files.filter((file) => file.includes('/packages/sdk/'));
if (bundled.length > 0)
    run('node', '--import', './scripts/bundle-hooks.mjs', '--test', '--test-reporter=dot', ...bundled);
if (process.env.AVALON && filter === '') {
    run('npx', 'tsc', '-p', 'e2e');
    // One file after the other: each starts a service of its own. Timers of the games must not keep it running.
    for (const name of ['service', 'playground']) {
        run(
            'node',
            '--test',
            // A run that is ended by force writes no details of failures with `dot`.
            '--test-reporter=spec',
            '--test-force-exit',
            '--test-timeout=240000',
            `e2e/build/${name}.test.js`,
        );
    }
}
