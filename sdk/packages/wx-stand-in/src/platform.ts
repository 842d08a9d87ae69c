/** The platform behind the stand-in: sign-in codes, encrypted data and payments, local or from a WeChat simulator. */
import type { Transport } from './network.js';

/** A payment that the player confirms on a sheet. */
export interface PaymentRequest {
  readonly api: 'requestPayment' | 'requestMidasPaymentGameItem' | 'requestMidasPayment';
  readonly openid: string;
  readonly platform: string;
  /** The parameters as the game passed them. */
  readonly parameters: { readonly [name: string]: unknown };
}

/** Data that only the game's server can read. */
export interface EncryptedData {
  readonly encryptedData: string;
  readonly iv: string;
  readonly rawData: string;
  readonly signature: string;
}

/** What WeChat's servers do for a phone. */
export interface Platform {
  openid(player: string): string;
  /** Issues a sign-in code. */
  code(player: string): Promise<string>;
  /** Encrypts data with the player's session key. */
  encrypt(openid: string, data: object | undefined): Promise<EncryptedData>;
  /** Takes a payment; rejects with `{ errCode, errMsg }` when WeChat refuses it. */
  pay(payment: PaymentRequest): Promise<void>;
}

/** Returns a platform without a server: codes are `sim-NAME`, data are not encrypted, every payment succeeds. */
export function localPlatform(): Platform {
  return {
    openid: (player) => `openid-${player}`,
    code: (player) => Promise.resolve(`sim-${player}`),
    encrypt: (_openid, data) => {
      const text = JSON.stringify(data || {});
      return Promise.resolve({
        encryptedData: text,
        iv: 'AAAAAAAAAAAAAAAAAAAAAA==',
        rawData: text,
        signature: '',
      });
    },
    pay: () => Promise.resolve(),
  };
}

/** Returns a platform behind which a running WeChat simulator works. */
export function simulatorPlatform(url: string, appId: string, transport: Transport): Platform {
  const openids = new Map<string, string>();
  const post = async (path: string, body: object): Promise<{ [name: string]: unknown }> => {
    const response = await transport({
      method: 'POST',
      url: `${url}${path}`,
      header: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = JSON.parse(response.body || '{}') as { [name: string]: unknown };
    if (response.statusCode >= 400)
      throw new Error(String(answer['error'] || answer['errMsg'] || response.statusCode));
    return answer;
  };
  const known = (player: string): string => openids.get(player) || `openid-${player}`;
  return {
    openid: known,
    code: async (player) => {
      const { code, openid } = await post('/_sim/codes', { name: player });
      openids.set(player, String(openid));
      return String(code);
    },
    encrypt: async (openid, data) => {
      const answer = await post(`/_sim/players/${openid}/encrypt`, data ? { data } : {});
      return answer as unknown as EncryptedData;
    },
    pay: async ({ api, parameters }) => {
      if (api !== 'requestPayment') throw new Error('the simulator takes WeChat Pay only');
      await post('/_sim/pay/request-payment', Object.assign({ appId }, parameters));
    },
  };
}
