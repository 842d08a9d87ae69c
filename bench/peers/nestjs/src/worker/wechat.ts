import { Injectable, OnApplicationShutdown } from '@nestjs/common';
import { UnrecoverableError } from 'bullmq';
import { Pool } from 'undici';
import { config } from '../config';
import { Signatures } from './signatures';

export interface Session {
  openid: string;
  session_key: string;
  unionid?: string;
}

const LIMITS = { headersTimeout: 3000, bodyTimeout: 3000 };

/** WeChat's APIs, over connections that stay open. */
@Injectable()
export class WeChat implements OnApplicationShutdown {
  private readonly http = new Pool(config.wechat.base, { connections: config.wechat.connections });

  constructor(private readonly signatures: Signatures) {}

  async code2session(code: string): Promise<Session> {
    const { appId, appSecret } = config.wechat;
    const query = new URLSearchParams({ appid: appId, secret: appSecret, js_code: code, grant_type: 'authorization_code' });
    const response = await this.http.request({ method: 'GET', path: `/sns/jscode2session?${query}`, ...LIMITS });
    const session = (await response.body.json()) as Session & { errcode?: number };
    if (response.statusCode !== 200) throw new Error(`code2Session returned ${response.statusCode}`);
    if (session.errcode) throw new UnrecoverableError(`code2Session: ${session.errcode}`);
    return session;
  }

  /** Creates the order at WeChat; returns its prepayment. */
  async prepay(order: { id: string; openId: string; description: string; total: number }): Promise<string> {
    const path = '/v3/pay/transactions/jsapi';
    const body = JSON.stringify({
      appid: config.wechat.appId,
      mchid: this.signatures.merchant.id,
      description: order.description,
      out_trade_no: order.id,
      notify_url: 'https://game.example/api/wx/pay/notify',
      amount: { total: order.total, currency: 'CNY' },
      payer: { openid: order.openId },
    });
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json',
      authorization: this.signatures.authorization('POST', path, body),
    };
    const response = await this.http.request({ method: 'POST', path, headers, body, ...LIMITS });
    const answer = await response.body.text();
    if (response.statusCode !== 200) throw new Error(`prepay returned ${response.statusCode}`);
    const header = (name: string): string => String(response.headers[`wechatpay-${name}`] ?? '');
    const signed = { timestamp: header('timestamp'), nonce: header('nonce'), serial: header('serial'), signature: header('signature') };
    this.signatures.verify({ ...signed, body: answer }, Date.now());
    return (JSON.parse(answer) as { prepay_id: string }).prepay_id;
  }

  onApplicationShutdown(): Promise<void> {
    return this.http.close();
  }
}
