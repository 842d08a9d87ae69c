import { BullModule } from '@nestjs/bullmq';
import type { DynamicModule } from '@nestjs/common';
import { config } from './config';
import { CALLBACK, LOGIN, ORDER, REPORT } from './jobs';

const exponential = { type: 'exponential', delay: 500 };

export const connection = (): DynamicModule => BullModule.forRoot({ connection: { ...config.redis } });

export const queues = (): DynamicModule =>
  BullModule.registerQueue(
    // A request waits for these, so results stay until it has read them; a code can be used once.
    { name: LOGIN, defaultJobOptions: { attempts: 1, removeOnComplete: { count: 1000 }, removeOnFail: { count: 5000 } } },
    { name: ORDER, defaultJobOptions: { attempts: 3, backoff: exponential, removeOnComplete: { count: 1000 }, removeOnFail: { count: 5000 } } },
    // Failures stay for a week, for operators.
    { name: CALLBACK, defaultJobOptions: { attempts: 8, backoff: exponential, removeOnComplete: true, removeOnFail: { age: 604800 } } },
    { name: REPORT, defaultJobOptions: { attempts: 5, backoff: exponential, removeOnComplete: true, removeOnFail: { age: 604800 } } },
  );
