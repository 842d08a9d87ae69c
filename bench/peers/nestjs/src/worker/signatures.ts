import { Injectable } from '@nestjs/common';
import { createDecipheriv, createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto';
import { merchant } from '../config';

export interface Signed {
  timestamp: string;
  nonce: string;
  serial: string;
  signature: string;
  body: string;
}

const MAX_SKEW_MS = 300_000;
const TAG_BYTES = 16;

/** The signatures of WeChat Pay v3, with keys that are parsed once. */
@Injectable()
export class Signatures {
  readonly merchant = merchant();
  private readonly key = createPrivateKey(this.merchant.key);
  private readonly platformKey = createPublicKey(this.merchant.platformKey);
  private readonly apiV3Key = Buffer.from(this.merchant.apiV3Key, 'utf8');

  /** Throws unless the platform has signed this within five minutes of `at`. */
  verify(message: Signed, at: number): void {
    if (!(Math.abs(at - Number(message.timestamp) * 1000) <= MAX_SKEW_MS)) throw new Error('the timestamp is stale');
    if (message.serial !== this.merchant.platformSerial) throw new Error('the key is unknown');
    const text = Buffer.from(`${message.timestamp}\n${message.nonce}\n${message.body}\n`);
    if (!verify('RSA-SHA256', text, this.platformKey, Buffer.from(message.signature, 'base64'))) throw new Error('the signature is wrong');
  }

  decrypt(resource: { ciphertext: string; nonce: string; associated_data?: string }): unknown {
    const sealed = Buffer.from(resource.ciphertext, 'base64');
    const end = sealed.length - TAG_BYTES;
    const decipher = createDecipheriv('aes-256-gcm', this.apiV3Key, Buffer.from(resource.nonce, 'utf8'));
    decipher.setAAD(Buffer.from(resource.associated_data ?? '', 'utf8'));
    decipher.setAuthTag(sealed.subarray(end));
    return JSON.parse(Buffer.concat([decipher.update(sealed.subarray(0, end)), decipher.final()]).toString('utf8'));
  }

  /** The `Authorization` header of a request. */
  authorization(method: string, path: string, body: string): string {
    const [timestamp, nonce] = [seconds(), randomBytes(16).toString('hex')];
    const signature = this.sign(`${method}\n${path}\n${timestamp}\n${nonce}\n${body}\n`);
    const { id, serial } = this.merchant;
    return `WECHATPAY2-SHA256-RSA2048 mchid="${id}",nonce_str="${nonce}",timestamp="${timestamp}",serial_no="${serial}",signature="${signature}"`;
  }

  /** What the client passes to `wx.requestPayment`. */
  payParams(appId: string, prepayId: string): Record<string, string> {
    const [timeStamp, nonceStr, prepayment] = [seconds(), randomBytes(16).toString('hex'), `prepay_id=${prepayId}`];
    const paySign = this.sign(`${appId}\n${timeStamp}\n${nonceStr}\n${prepayment}\n`);
    return { timeStamp, nonceStr, package: prepayment, signType: 'RSA', paySign };
  }

  private sign(text: string): string {
    return sign('RSA-SHA256', Buffer.from(text), this.key).toString('base64');
  }
}

const seconds = (): string => Math.floor(Date.now() / 1000).toString();
