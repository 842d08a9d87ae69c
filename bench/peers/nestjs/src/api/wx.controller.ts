import { BadRequestException, Body, Controller, Get, Headers, HttpCode, Param, Post, RawBodyRequest, Req, UseGuards } from '@nestjs/common';
import { RouteSchema } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';
import type { OrderCreated, ReportedEvent, SignedIn } from '../jobs';
import * as schemas from './schemas';
import { type PlayerRequest, TokenGuard } from './token.guard';
import { WxService } from './wx.service';

@Controller('api/wx')
export class WxController {
  constructor(private readonly wx: WxService) {}

  @Post('login')
  @HttpCode(200)
  @RouteSchema(schemas.login)
  login(@Body() body: { code: string }): Promise<SignedIn> {
    return this.wx.login(body.code);
  }

  @Post('pay/notify')
  @HttpCode(204)
  async notify(@Req() request: RawBodyRequest<FastifyRequest>, @Headers() headers: Record<string, string>): Promise<void> {
    const timestamp = headers['wechatpay-timestamp'];
    const nonce = headers['wechatpay-nonce'];
    const serial = headers['wechatpay-serial'];
    const signature = headers['wechatpay-signature'];
    if (!timestamp || !nonce || !serial || !signature || !request.rawBody) throw new BadRequestException();
    const body = request.rawBody.toString('utf8');
    await this.wx.notify({ timestamp, nonce, serial, signature, body, receivedAt: Date.now() });
  }

  @Post('report')
  @HttpCode(200)
  @UseGuards(TokenGuard)
  @RouteSchema(schemas.report)
  async report(@Body() body: { events: ReportedEvent[] }, @Req() request: PlayerRequest): Promise<{ success: boolean }> {
    await this.wx.report(request.player.openId, body.events);
    return { success: true };
  }

  @Post('createOrder')
  @HttpCode(200)
  @UseGuards(TokenGuard)
  @RouteSchema(schemas.createOrder)
  createOrder(
    @Body() body: { productId: string; quantity: number },
    @Headers('idempotency-key') idempotencyKey: string | undefined,
    @Req() request: PlayerRequest,
  ): Promise<OrderCreated> {
    if (!idempotencyKey || idempotencyKey.length > 64) throw new BadRequestException();
    return this.wx.createOrder({ openId: request.player.openId, productId: body.productId, quantity: body.quantity, idempotencyKey });
  }

  @Get('getOrder/:orderId')
  @UseGuards(TokenGuard)
  @RouteSchema(schemas.getOrder)
  getOrder(@Param('orderId') orderId: string, @Req() request: PlayerRequest): Promise<{ order: Record<string, unknown> }> {
    return this.wx.getOrder(orderId, request.player.openId);
  }
}
