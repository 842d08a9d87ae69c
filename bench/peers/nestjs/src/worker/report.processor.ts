import { Processor, WorkerHost } from '@nestjs/bullmq';
import { Inject } from '@nestjs/common';
import { Job } from 'bullmq';
import { Pool } from 'pg';
import { config } from '../config';
import { REPORT, ReportJob } from '../jobs';
import { POOL } from '../stores.module';

@Processor(REPORT, { concurrency: config.concurrency.report })
export class ReportProcessor extends WorkerHost {
  constructor(@Inject(POOL) private readonly pool: Pool) {
    super();
  }

  /** One statement per batch. Its primary key makes a repeated job harmless. */
  async process(job: Job<ReportJob>): Promise<void> {
    const { batchId, openId, receivedAt, events } = job.data;
    await this.pool.query({
      name: 'events',
      text: `INSERT INTO events (batch_id, position, open_id, name, at, params)
             SELECT $1::uuid, position, $2, event->>'eventName',
                    to_timestamp(coalesce((event->>'timestamp')::bigint, $3) / 1000.0), event->'eventParams'
               FROM jsonb_array_elements($4::jsonb) WITH ORDINALITY AS reported (event, position)
             ON CONFLICT DO NOTHING`,
      values: [batchId, openId, receivedAt, JSON.stringify(events)],
    });
  }
}
