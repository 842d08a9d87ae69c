// Compiles the TypeScript of the documents, and compares it with that of their translations. It is run by
// packages/sdk/test/docs.test.ts.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'build/docs');

function blocks(file) {
    const text = readFileSync(file, 'utf8');
    return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code);
}

const documents = [
    ...readdirSync(join(root, 'docs')).map((name) => join('docs', name)),
    ...['sdk', 'open-data-context', 'wx-stand-in'].map((name) => `packages/${name}/README.md`),
].filter((name) => name.endsWith('.md') && !name.endsWith('.zh-CN.md'));

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
let failed = false;
let count = 0;
for (const document of documents) {
    const code = blocks(join(root, document));
    if (document.startsWith('docs')) {
        const translation = document.replace(/\.md$/, '.zh-CN.md');
        if (JSON.stringify(blocks(join(root, translation))) !== JSON.stringify(code)) {
            console.error(`${translation} has other examples than ${document}`);
            failed = true;
        }
    }
    code.forEach((text, index) => {
        const name = `${document.replace(/[^a-z]+/gi, '-')}-${index}.ts`;
        writeFileSync(join(folder, name), `// ${document}\nexport {};\n${text}`);
        count += 1;
    });
}
writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
        compilerOptions: {
            target: 'ES2022',
            lib: ['ES2022'],
            types: [],
            module: 'ESNext',
            moduleResolution: 'Bundler',
            strict: true,
            noEmit: true,
        },
        include: ['.', '../../type-tests/docs.d.ts'],
    }),
);
const { status } = spawnSync('npx', ['tsc', '-p', folder], { cwd: root, stdio: 'inherit' });
if (status !== 0 || failed) process.exit(1);
console.log(`${count} examples of the documents compile`);
