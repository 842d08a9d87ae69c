/** Signs requests (version 2, docs/api.md): the session's key proves that the request is the player's. */
import { base64, fromBase64, hex, utf8 } from '../base/bytes.js';
import { hmacSha256, sha256 } from '../base/sha256.js';

/** @internal */
export interface ToSign {
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  /** Unix seconds by the server's clock. */
  readonly timestamp: number;
  readonly nonce: string;
  readonly idempotencyKey: string | undefined;
  readonly body: string | undefined;
}

/** Returns the headers of a signed request; `key` is the session's `signingKey`. */
export function signatureHeaders(key: string, request: ToSign): { [name: string]: string } {
  const { method, path, timestamp, nonce, idempotencyKey, body } = request;
  const digest = hex(sha256(utf8(body || '')));
  const text = ['v2', method, path, timestamp, nonce, idempotencyKey || '', digest].join('\n');
  return {
    'X-Avalon-Timestamp': String(timestamp),
    'X-Avalon-Nonce': nonce,
    'X-Avalon-Signature': `v2,${base64(hmacSha256(fromBase64(key), utf8(text)))}`,
  };
}
