import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, NestFastifyApplication } from '@nestjs/platform-fastify';
import { ApiModule } from './api/api.module';
import { config } from './config';

async function main(): Promise<void> {
  const app = await NestFactory.create<NestFastifyApplication>(ApiModule, new FastifyAdapter({ bodyLimit: 1 << 20 }), {
    // Signatures are of the bytes that were sent.
    rawBody: true,
    logger: ['warn', 'error'],
  });
  app.enableShutdownHooks(['SIGINT', 'SIGTERM']);
  await app.listen(config.port, '127.0.0.1');
}
void main();
