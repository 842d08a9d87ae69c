import { Global, Inject, Module, OnApplicationShutdown } from '@nestjs/common';
import Redis from 'ioredis';
import { Pool } from 'pg';
import { config } from './config';

export const POOL = Symbol('POOL');
export const REDIS = Symbol('REDIS');

const pool = {
  provide: POOL,
  useFactory: (): Pool => {
    const created = new Pool({ connectionString: config.databaseUrl, max: config.poolSize });
    created.on('error', (error) => console.error(`idle connection: ${error.message}`));
    return created;
  },
};
const redis = { provide: REDIS, useFactory: (): Redis => new Redis({ ...config.redis }) };

@Global()
@Module({ providers: [pool, redis], exports: [POOL, REDIS] })
export class StoresModule implements OnApplicationShutdown {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(REDIS) private readonly redis: Redis,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await Promise.allSettled([this.pool.end(), this.redis.quit()]);
  }
}
