import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { config } from '../config';
import { connection, queues } from '../queues';
import { StoresModule } from '../stores.module';
import { CallbackProcessor } from './callback.processor';
import { LoginProcessor } from './login.processor';
import { OrderProcessor } from './order.processor';
import { ReportProcessor } from './report.processor';
import { Signatures } from './signatures';
import { WeChat } from './wechat';

@Module({
  imports: [StoresModule, connection(), queues(), JwtModule.register({ secret: config.tokenKey, signOptions: { algorithm: 'HS256' } })],
  providers: [Signatures, WeChat, LoginProcessor, CallbackProcessor, ReportProcessor, OrderProcessor],
})
export class WorkerModule {}
