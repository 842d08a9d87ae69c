import { InjectQueue } from '@nestjs/bullmq';
import {
  GatewayTimeoutException,
  Inject,
  Injectable,
  NotFoundException,
  OnApplicationShutdown,
  OnModuleInit,
  UnprocessableEntityException,
} from '@nestjs/common';
import { Job, Queue, QueueEvents } from 'bullmq';
import { randomUUID } from 'node:crypto';
import { Pool } from 'pg';
import { config } from '../config';
import { CALLBACK, CallbackJob, LOGIN, LoginJob, ORDER, OrderCreated, OrderJob, REPORT, ReportedEvent, ReportJob, SignedIn } from '../jobs';
import { POOL } from '../stores.module';

@Injectable()
export class WxService implements OnModuleInit, OnApplicationShutdown {
  private readonly loginEvents = new QueueEvents(LOGIN, { connection: { ...config.redis } });
  private readonly orderEvents = new QueueEvents(ORDER, { connection: { ...config.redis } });

  constructor(
    @InjectQueue(LOGIN) private readonly logins: Queue<LoginJob, SignedIn>,
    @InjectQueue(CALLBACK) private readonly callbacks: Queue<CallbackJob>,
    @InjectQueue(REPORT) private readonly reports: Queue<ReportJob>,
    @InjectQueue(ORDER) private readonly orders: Queue<OrderJob, OrderCreated>,
    @Inject(POOL) private readonly pool: Pool,
  ) {}

  async onModuleInit(): Promise<void> {
    for (const emitter of [this.loginEvents, this.orderEvents, this.logins, this.orders]) emitter.setMaxListeners(0);
    await Promise.all([this.loginEvents.waitUntilReady(), this.orderEvents.waitUntilReady()]);
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all([this.loginEvents.close(), this.orderEvents.close()]);
  }

  async login(code: string): Promise<SignedIn> {
    return finished(await this.logins.add(LOGIN, { code }), this.loginEvents);
  }

  async createOrder(order: OrderJob): Promise<OrderCreated> {
    return finished(await this.orders.add(ORDER, order), this.orderEvents);
  }

  async notify(callback: CallbackJob): Promise<void> {
    await this.callbacks.add(CALLBACK, callback);
  }

  async report(openId: string, events: ReportedEvent[]): Promise<void> {
    await this.reports.add(REPORT, { batchId: randomUUID(), openId, receivedAt: Date.now(), events });
  }

  async getOrder(orderId: string, openId: string): Promise<{ order: Record<string, unknown> }> {
    const { rows } = await this.pool.query({
      name: 'order',
      text: `SELECT id, product_id, description, quantity, total, status, transaction_id, created_at, paid_at
               FROM orders WHERE id = $1 AND open_id = $2`,
      values: [orderId, openId],
    });
    if (rows.length === 0) throw new NotFoundException();
    const [row] = rows;
    const order = {
      _id: row.id,
      productId: row.product_id,
      description: row.description,
      quantity: row.quantity,
      totalFee: row.total,
      status: row.status,
      transactionId: row.transaction_id,
      createdAt: row.created_at.toISOString(),
      paidAt: row.paid_at?.toISOString() ?? null,
    };
    return { order };
  }
}

/** Waits for the result of a job: its event wakes the request. */
async function finished<T>(job: Job<unknown, T>, events: QueueEvents): Promise<T> {
  try {
    return await job.waitUntilFinished(events, config.waitMs);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (message.includes('timed out')) throw new GatewayTimeoutException();
    throw new UnprocessableEntityException(message);
  }
}
