import { Processor, WorkerHost } from '@nestjs/bullmq';
import { Inject } from '@nestjs/common';
import { Job, UnrecoverableError } from 'bullmq';
import { randomBytes } from 'node:crypto';
import { Pool } from 'pg';
import { config } from '../config';
import { ORDER, OrderCreated, OrderJob } from '../jobs';
import { POOL } from '../stores.module';
import { Signatures } from './signatures';
import { WeChat } from './wechat';

@Processor(ORDER, { concurrency: config.concurrency.order })
export class OrderProcessor extends WorkerHost {
  constructor(
    private readonly wechat: WeChat,
    private readonly signatures: Signatures,
    @Inject(POOL) private readonly pool: Pool,
  ) {
    super();
  }

  /** The row first, so that a repeated request or job finds its order. */
  async process(job: Job<OrderJob, OrderCreated>): Promise<OrderCreated> {
    const { openId, productId, quantity, idempotencyKey } = job.data;
    const { rows } = await this.pool.query({
      name: 'create',
      text: `INSERT INTO orders (id, open_id, product_id, description, quantity, total, idempotency_key)
             SELECT $1, $2, id, name, $4, price * $4, $5 FROM products WHERE id = $3
             ON CONFLICT (open_id, idempotency_key) DO UPDATE SET idempotency_key = excluded.idempotency_key
             RETURNING id, description, total, prepay_id`,
      values: [randomBytes(16).toString('hex'), openId, productId, quantity, idempotencyKey],
    });
    if (rows.length === 0) throw new UnrecoverableError('the product is unknown');
    const [{ id, description, total, prepay_id: known }] = rows;
    let prepayId: string | null = known;
    if (!prepayId) {
      prepayId = await this.wechat.prepay({ id, openId, description, total });
      await this.pool.query({ name: 'offer', text: 'UPDATE orders SET prepay_id = $2 WHERE id = $1', values: [id, prepayId] });
    }
    return { orderId: id, payParams: this.signatures.payParams(config.wechat.appId, prepayId) };
  }
}
