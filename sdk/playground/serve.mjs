// Serves the playground, and passes its requests on to a running `avalon dev`. Loopback only.
//
//   npm run playground [-- FOLDER]      FOLDER: where `avalon dev` runs, by default the root of the checkout
import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const folder = process.argv[2] ?? join(here, '../..');
const port = Number(process.env.PORT ?? 8070);
const targets = {
    '/api/': process.env.AVALON_API ?? 'http://127.0.0.1:8080',
    '/_sim/': process.env.AVALON_SIMULATOR ?? 'http://127.0.0.1:8090',
    '/admin/': process.env.AVALON_OPS ?? 'http://127.0.0.1:8081',
};
const files = {
    '/': ['index.html', 'text/html; charset=utf-8'],
    '/style.css': ['style.css', 'text/css; charset=utf-8'],
    '/playground.js': ['dist/playground.js', 'text/javascript; charset=utf-8'],
    '/open-data-context.js': [
        '../packages/open-data-context/dist/umd/index.js',
        'text/javascript; charset=utf-8',
    ],
};

async function adminToken() {
    const keys = await readFile(join(folder, 'data/dev-keys.toml'), 'utf8');
    return /admin_token = "(.*)"/.exec(keys)?.[1] ?? '';
}

async function pass(incoming, outgoing, target) {
    const headers = { ...incoming.headers };
    delete headers.host;
    delete headers.origin;
    if (incoming.url.startsWith('/admin/')) headers.authorization = `Bearer ${await adminToken()}`;
    const forwarded = request(target + incoming.url, { method: incoming.method, headers }, (response) => {
        outgoing.writeHead(response.statusCode, response.headers);
        response.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.writeHead(502).end('avalon dev does not answer'));
    incoming.pipe(forwarded);
}

const server = createServer(async (incoming, outgoing) => {
    // A page of another origin must not reach the operator's routes through a name that resolves to this machine.
    const origin = incoming.headers.origin ?? '';
    const local = /^(127\.0\.0\.1|localhost)(:\d+)?$/.test(incoming.headers.host ?? '');
    if (!local || (origin !== '' && new URL(origin).host !== incoming.headers.host))
        return outgoing.writeHead(403).end();
    try {
        const path = incoming.url.split('?')[0];
        const prefix = Object.keys(targets).find((start) => path.startsWith(start));
        if (prefix) return await pass(incoming, outgoing, targets[prefix]);
        const [file, type] = files[path] ?? [];
        if (!file) return outgoing.writeHead(404).end();
        outgoing.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' });
        outgoing.end(await readFile(join(here, file)));
    } catch (error) {
        outgoing.writeHead(500).end(String(error));
    }
});
server.listen(port, '127.0.0.1', () => console.log(`playground: http://127.0.0.1:${server.address().port}`));
