import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`the environment variable ${name} is missing`);
  return value;
}

const number = (name: string, byDefault: number): number => Number(process.env[name] ?? byDefault);

/** Settings of both processes. The numbers were found by trial on two cores; more did not help. */
export const config = {
  port: number('PORT', 3000),
  redis: { host: '127.0.0.1', port: number('REDIS_PORT', 6379) },
  databaseUrl: process.env.DATABASE_URL ?? '',
  poolSize: number('POOL_SIZE', 16),
  concurrency: {
    login: number('LOGIN_CONCURRENCY', 32),
    callback: number('CALLBACK_CONCURRENCY', 32),
    report: number('REPORT_CONCURRENCY', 8),
    order: number('ORDER_CONCURRENCY', 32),
  },
  /** A KeyObject: a string would be parsed at each call, which takes longer than signing. */
  tokenKey: createSecretKey(process.env.TOKEN_SECRET ?? 'a secret of benchmarks, at least 32 bytes', 'utf8'),
  tokenTtlSeconds: 7200,
  /** How long a request waits for its job. */
  waitMs: 5000,
  wechat: {
    base: process.env.WECHAT_BASE ?? '',
    connections: 64,
    appId: process.env.APP_ID ?? '',
    appSecret: process.env.APP_SECRET ?? '',
  },
};

/** The merchant's settings; only read by processes that pay. */
export const merchant = () => ({
  id: required('MCH_ID'),
  serial: required('MERCHANT_SERIAL'),
  key: readFileSync(required('MERCHANT_KEY_FILE'), 'utf8'),
  apiV3Key: required('API_V3_KEY'),
  platformSerial: required('PLATFORM_SERIAL'),
  platformKey: readFileSync(required('PLATFORM_KEY_FILE'), 'utf8'),
});
