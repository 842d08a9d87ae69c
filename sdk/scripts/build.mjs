// Builds the packages: TypeScript, then one ES module and one UMD (or CommonJS) file each, then the declarations in
// one file and the API report, then the playground of `avalon dev`. `--tests` also compiles the tests, `--update`
// accepts a changed API report and a changed playground.
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor';
import resolve from '@rollup/plugin-node-resolve';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rollup } from 'rollup';
import { minify } from 'terser';
import { toEs2015 } from './to-es2015.mjs';
import { internalNames } from './internal-names.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const tests = process.argv.includes('--tests');
const update = process.argv.includes('--update');

/** Packages that are bundled, with their UMD name. */
const BUNDLES = [
    { name: 'sdk', file: 'avalon', umd: { name: 'AvalonWx', file: 'umd/avalon.js' } },
    { name: 'open-data-context', file: 'index', umd: { name: 'AvalonOpenData', file: 'umd/index.js' } },
];

/** The types of the HTTP API are written by every build, so that they cannot drift. */
function schema() {
    const output = 'packages/sdk/src/api/schema.ts';
    const { status } = spawnSync('npx', ['openapi-typescript', '../docs/openapi.json', '--output', output], {
        cwd: root,
    });
    if (status !== 0) process.exit(1);
}

function compile() {
    const realms = ['wx-stand-in/node', 'wx-stand-in/browser'];
    const packages = ['wx-stand-in', 'sdk', 'open-data-context'].map((name) =>
        tests ? `${name}/test` : name,
    );
    const projects = [...realms, ...packages].map((name) => `packages/${name}`);
    const { status } = spawnSync('npx', ['tsc', '--build', ...projects], { cwd: root, stdio: 'inherit' });
    if (status !== 0) process.exit(1);
}

/** Ships the bundles minified: only here it is known which properties nothing else sees (internal-names.mjs). */
async function bundle({ name, file, umd }) {
    const folder = join(root, 'packages', name);
    const banner = `/*! @avalon-wx/${name} ${version(folder)} | MIT OR Apache-2.0 */`;
    const names = internalNames(
        join(folder, 'src/index.ts'),
        join(folder, `dist/${file}.d.ts`),
        join(folder, 'tsconfig.json'),
    );
    const built = await rollup({ input: join(folder, 'build/src/index.js'), plugins: [resumed, resolve()] });
    const write = async (path, options) => {
        const { output } = await built.generate({ ...options, banner });
        const { code } = await minify(output[0].code, minifying(names, options.format === 'es'));
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        writeFileSync(join(folder, path), `${code}\n`);
    };
    await write(`dist/${file}.js`, { format: 'es' });
    // `GameGlobal` rather than `this`, which is undefined in strict mode, and not `window`, which engines fake.
    const outro = 'if (typeof GameGlobal === "object" && GameGlobal) GameGlobal.' + umd.name + ' = exports;';
    await write(join('dist', umd.file), { format: 'umd', name: umd.name, outro, exports: 'named' });
    await built.close();
    // The package is a module; WeChat's npm support wants CommonJS with the ending `.js`.
    writeFileSync(join(folder, 'dist/umd/package.json'), '{"type":"commonjs"}\n');
}

/** Options of terser; `names` are those of properties that it may shorten. */
function minifying(names, module) {
    return {
        module,
        ecma: 2015,
        compress: {
            passes: 5,
            pure_getters: true,
            unsafe_arrows: true,
            keep_fargs: false,
            hoist_funs: true,
        },
        // `builtins`: names of the DOM as well, which is not there.
        mangle: {
            properties: { regex: new RegExp(`^(?:${names.join('|')})$`), keep_quoted: true, builtins: true },
        },
        format: { comments: 'some', preserve_annotations: true },
    };
}

/** Turns async functions into generators, and supplies the function that runs these. */
const RESUMED = join(root, 'scripts/resumed.js');
const resumed = {
    name: 'resumed',
    transform(code, id) {
        if (id === RESUMED || !id.includes('/build/')) return null;
        const rewritten = toEs2015(code);
        return { code: `import { resumed } from ${JSON.stringify(RESUMED)};\n${rewritten}`, map: null };
    },
};

function version(folder) {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
}

function report({ name, file }) {
    const folder = join(root, 'packages', name);
    mkdirSync(join(folder, 'etc'), { recursive: true });
    const config = ExtractorConfig.prepare({
        packageJsonFullPath: join(folder, 'package.json'),
        configObjectFullPath: undefined,
        configObject: {
            projectFolder: folder,
            mainEntryPointFilePath: join(folder, 'build/src/index.d.ts'),
            compiler: { tsconfigFilePath: join(folder, 'tsconfig.json') },
            apiReport: {
                enabled: true,
                reportFileName: `${name}.api.md`,
                reportFolder: join(folder, 'etc'),
                reportTempFolder: join(folder, 'temp'),
            },
            docModel: { enabled: false },
            tsdocMetadata: { enabled: false },
            dtsRollup: { enabled: true, untrimmedFilePath: join(folder, `dist/${file}.d.ts`) },
            messages: {
                compilerMessageReporting: { default: { logLevel: 'error' } },
                extractorMessageReporting: {
                    default: { logLevel: 'error' },
                    // Release tags would have to be on every symbol; everything that is exported is public.
                    'ae-missing-release-tag': { logLevel: 'none' },
                    'ae-undocumented': { logLevel: 'none' },
                    // Types of the service's schema are part of the declarations, but nothing to import.
                    'ae-forgotten-export': { logLevel: 'none' },
                },
                tsdocMessageReporting: { default: { logLevel: 'none' } },
            },
        },
    });
    const result = Extractor.invoke(config, { localBuild: update, showVerboseMessages: false });
    if (!result.succeeded) {
        console.error(
            `The API of ${name} differs from etc/${name}.api.md; "npm run build -- --update" accepts it.`,
        );
        process.exit(1);
    }
    // The declarations of the CommonJS file; its folder says that it is one.
    mkdirSync(join(folder, 'dist/umd'), { recursive: true });
    cpSync(join(folder, `dist/${file}.d.ts`), join(folder, `dist/umd/${file}.d.ts`));
}

/** Builds the files that `avalon dev` embeds, and compares them with those that are committed. */
async function playground() {
    const { status } = spawnSync('npx', ['tsc', '--project', 'playground'], { cwd: root, stdio: 'inherit' });
    if (status !== 0) process.exit(1);
    const built = await rollup({ input: join(root, 'playground/build/main.js'), plugins: [resolve()] });
    const { output } = await built.generate({ format: 'es' });
    await built.close();
    const context = readFileSync(join(root, 'packages/open-data-context/dist/umd/index.js'), 'utf8');
    const read = (name) => readFileSync(join(root, 'playground', name), 'utf8');
    const files = {
        'index.html': read('index.html'),
        'style.css': read('style.css'),
        'playground.js': (await minify(output[0].code, { module: true })).code,
        // The `index.js` of the open data context of a game.
        'open-data-context.js': (await minify(`${context}\nGameGlobal.AvalonOpenData.start();`)).code,
    };
    const folder = join(root, '../cli/playground');
    for (const [name, text] of Object.entries(files)) {
        const file = join(folder, name);
        if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
        if (!update) {
            console.error(
                `The sources build another cli/playground/${name}; "npm run build -- --update" writes it.`,
            );
            process.exit(1);
        }
        mkdirSync(folder, { recursive: true });
        writeFileSync(file, text);
    }
}

schema();
compile();
for (const entry of BUNDLES) {
    report(entry);
    await bundle(entry);
}
await playground();
cpSync(join(root, 'packages/sdk/dist/umd/avalon.js'), join(root, 'example/lib/avalon.js'));
cpSync(
    join(root, 'packages/open-data-context/dist/umd/index.js'),
    join(root, 'example/openDataContext/lib/open-data-context.js'),
);
// They are part of the packages.
for (const name of ['sdk', 'open-data-context', 'wx-stand-in']) {
    for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) {
        cpSync(join(root, '..', licence), join(root, 'packages', name, licence));
    }
}
