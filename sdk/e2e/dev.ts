/** Starts `avalon dev` on free ports and in a folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const APP_ID = 'wx0123456789abcdef';

export interface Dev {
  readonly api: string;
  readonly ops: string;
  readonly simulator: string;
  /** Where it runs, with its data. */
  readonly folder: string;
  /** Calls a control route of the simulator. */
  sim(method: string, path: string, body?: object): Promise<Record<string, unknown>>;
  /** Calls a route for operators. */
  admin(method: string, path: string, body?: object): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

/** `binary` is the program; `settings` are environment variables such as `AVALON_AUTH__SIGNATURES`. */
export async function startDev(binary: string, settings: Record<string, string> = {}): Promise<Dev> {
  const folder = mkdtempSync(join(tmpdir(), 'avalon-sdk-'));
  const [http, ops, simulator] = (await Promise.all([freePort(), freePort(), freePort()])) as [
    number,
    number,
    number,
  ];
  const env = {
    ...process.env,
    AVALON_HTTP__LISTEN: `127.0.0.1:${http}`,
    AVALON_OPS__LISTEN: `127.0.0.1:${ops}`,
    AVALON_SIMULATOR__LISTEN: `127.0.0.1:${simulator}`,
    AVALON_LOG__LEVEL: 'warn',
    ...settings,
  };
  const child = spawn(binary, ['dev'], { cwd: folder, env, stdio: ['ignore', 'ignore', 'inherit'] });
  endWith(child);
  const stop = async (): Promise<void> => {
    await end(child);
    rmSync(folder, { recursive: true, force: true });
  };
  const opsUrl = `http://127.0.0.1:${ops}`;
  try {
    await ready(`${opsUrl}/readyz`, child);
  } catch (error) {
    await stop();
    throw error;
  }
  const token =
    /admin_token = "(.*)"/.exec(readFileSync(join(folder, 'data/dev-keys.toml'), 'utf8'))?.[1] ?? '';
  const simulatorUrl = `http://127.0.0.1:${simulator}`;
  return {
    api: `http://127.0.0.1:${http}`,
    ops: opsUrl,
    simulator: simulatorUrl,
    folder,
    sim: (method, path, body) => json(method, `${simulatorUrl}/_sim${path}`, {}, body),
    admin: (method, path, body) =>
      json(
        method,
        opsUrl + path,
        { authorization: `Bearer ${token}`, 'idempotency-key': `k${Date.now()}` },
        body,
      ),
    stop,
  };
}

/** Ends a child when this process ends, also by the runner's time limit. */
function endWith(child: ChildProcess): void {
  process.on('exit', () => child.kill('SIGKILL'));
  process.once('SIGTERM', () => process.exit(1));
}

async function json(
  method: string,
  url: string,
  headers: Record<string, string>,
  body: object | undefined,
): Promise<Record<string, unknown>> {
  const init = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...init,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  for (let waited = 0; waited < 20_000; waited += 100) {
    if (child.exitCode !== null) throw new Error(`avalon dev ended with ${child.exitCode}`);
    try {
      if ((await fetch(url)).ok) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url} does not answer`);
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.on('exit', () => resolve());
    child.kill('SIGINT');
    setTimeout(() => child.kill('SIGKILL'), 8000).unref();
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
