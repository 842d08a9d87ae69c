import { Processor, WorkerHost } from '@nestjs/bullmq';
import { Inject } from '@nestjs/common';
import { Job, UnrecoverableError } from 'bullmq';
import { Pool } from 'pg';
import { config } from '../config';
import { CALLBACK, CallbackJob } from '../jobs';
import { POOL } from '../stores.module';
import { Signatures } from './signatures';

interface Notification {
  id: string;
  event_type: string;
  resource: { ciphertext: string; nonce: string; associated_data?: string };
}
interface Transaction {
  appid: string;
  mchid: string;
  out_trade_no: string;
  transaction_id: string;
  trade_state: string;
  amount: { total: number };
}

@Processor(CALLBACK, { concurrency: config.concurrency.callback })
export class CallbackProcessor extends WorkerHost {
  constructor(
    private readonly signatures: Signatures,
    @Inject(POOL) private readonly pool: Pool,
  ) {
    super();
  }

  async process(job: Job<CallbackJob>): Promise<string> {
    const { id, transaction } = this.read(job.data);
    return transaction.trade_state === 'SUCCESS' ? this.pay(id, transaction) : 'ignored';
  }

  /** What is not WeChat's or not ours never succeeds, however often it is repeated. */
  private read(callback: CallbackJob): { id: string; transaction: Transaction } {
    try {
      this.signatures.verify(callback, callback.receivedAt);
      const notification = JSON.parse(callback.body) as Notification;
      const transaction = this.signatures.decrypt(notification.resource) as Transaction;
      if (transaction.appid !== config.wechat.appId || transaction.mchid !== this.signatures.merchant.id) throw new Error('not ours');
      return { id: notification.id, transaction };
    } catch (error) {
      throw new UnrecoverableError(error instanceof Error ? error.message : String(error));
    }
  }

  /** One transaction in one round trip; a repeated notification changes nothing. */
  private async pay(id: string, transaction: Transaction): Promise<string> {
    const { out_trade_no, transaction_id, amount } = transaction;
    const { rows } = await this.pool.query({
      name: 'pay',
      text: `WITH found AS (
               SELECT id, status, total = $4 AS matches FROM orders WHERE id = $2 FOR UPDATE
             ), noted AS (
               INSERT INTO notifications (id, order_id, transaction_id, payload)
               SELECT $1, found.id, $3, $5 FROM found WHERE found.matches ON CONFLICT (id) DO NOTHING
             ), paid AS (
               UPDATE orders SET status = 'paid', transaction_id = $3, paid_at = clock_timestamp()
                 FROM found WHERE orders.id = found.id AND found.matches AND found.status <> 'paid'
             )
             SELECT status, matches FROM found`,
      values: [id, out_trade_no, transaction_id, amount.total, JSON.stringify(transaction)],
    });
    if (rows.length === 0) throw new Error('the order is unknown');
    if (!rows[0].matches) throw new UnrecoverableError('the amount is wrong');
    return rows[0].status === 'paid' ? 'duplicate' : 'granted';
  }
}
