/** The platform behind the stand-in: sign-in codes, encrypted data and payments, local or from a WeChat simulator. */
import { failure } from './callbacks.js';
import type { Transport } from './network.js';

/** Facts about the phone that WeChat's payment depends on. */
export interface PaymentDevice {
  readonly platform: string;
  /** Version of the operating system, without its name. */
  readonly system: string;
  readonly clientVersion: string;
  readonly baseLibrary: string;
  readonly envVersion: string;
}

/** A payment that the player confirms on a sheet. */
export interface PaymentRequest {
  readonly api: 'requestPayment' | 'requestMidasPaymentGameItem' | 'requestMidasPayment';
  readonly openid: string;
  /** Where the sheet is open. */
  readonly device: PaymentDevice;
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
    pay: async (payment) => {
      const { api, parameters } = payment;
      if (api === 'requestPayment')
        await post('/_sim/pay/request-payment', Object.assign({ appId }, parameters));
      else if (api === 'requestMidasPaymentGameItem') await payGameItem(post, payment);
      else throw failure(api, 'the simulator has no such sheet');
    },
  };
}

/** Has the simulator judge the parameters and take the payment. */
async function payGameItem(
  post: (path: string, body: object) => Promise<{ [name: string]: unknown }>,
  { api, openid, device, parameters }: PaymentRequest,
): Promise<void> {
  const { platform, envVersion, system, clientVersion, baseLibrary } = device;
  const answer = await post('/_sim/vpay/request-midas-payment-game-item', {
    openid,
    signData: parameters['signData'],
    paySig: parameters['paySig'],
    signature: parameters['signature'],
    device: { platform, build: envVersion, iosVersion: system, clientVersion, libraryVersion: baseLibrary },
  });
  const code = answer['errCode'];
  if (typeof code === 'number' && code !== 0) throw failure(api, `code ${code}`, { errCode: code });
}
