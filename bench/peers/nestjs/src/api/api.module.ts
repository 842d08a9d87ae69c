import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { config } from '../config';
import { connection, queues } from '../queues';
import { StoresModule } from '../stores.module';
import { WxController } from './wx.controller';
import { WxService } from './wx.service';

@Module({
  imports: [StoresModule, connection(), queues(), JwtModule.register({ secret: config.tokenKey, verifyOptions: { algorithms: ['HS256'] } })],
  controllers: [WxController],
  providers: [WxService],
})
export class ApiModule {}
