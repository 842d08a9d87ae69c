import { Processor, WorkerHost } from '@nestjs/bullmq';
import { Inject } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { Job } from 'bullmq';
import type Redis from 'ioredis';
import { Pool } from 'pg';
import { config } from '../config';
import { LOGIN, LoginJob, SignedIn } from '../jobs';
import { POOL, REDIS } from '../stores.module';
import { WeChat } from './wechat';

@Processor(LOGIN, { concurrency: config.concurrency.login })
export class LoginProcessor extends WorkerHost {
  constructor(
    private readonly wechat: WeChat,
    private readonly jwt: JwtService,
    @Inject(POOL) private readonly pool: Pool,
    @Inject(REDIS) private readonly redis: Redis,
  ) {
    super();
  }

  async process(job: Job<LoginJob, SignedIn>): Promise<SignedIn> {
    const { openid: openId, session_key: sessionKey, unionid: unionId = null } = await this.wechat.code2session(job.data.code);
    const { rows } = await this.pool.query({
      name: 'upsert',
      text: `INSERT INTO users (open_id, union_id) VALUES ($1, $2)
             ON CONFLICT (open_id) DO UPDATE SET union_id = coalesce(excluded.union_id, users.union_id),
               logins = users.logins + 1, last_login_at = now()
             RETURNING id`,
      values: [openId, unionId],
    });
    const id: string = rows[0].id;
    const exp = Math.floor(Date.now() / 1000) + config.tokenTtlSeconds;
    const session = JSON.stringify({ openId, sessionKey, at: Date.now() });
    const [token] = await Promise.all([
      this.jwt.signAsync({ sub: id, openId, exp }),
      this.redis.set(`session:${id}`, session, 'EX', config.tokenTtlSeconds),
    ]);
    return { token, expires: exp * 1000, userInfo: { _id: id, openId, unionId } };
  }
}
