import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { base64, fromBase64, hex, utf8 } from '../src/base/bytes.js';
import { hmacSha256, sha256 } from '../src/base/sha256.js';
import { signatureHeaders } from '../src/http/sign.js';

test('sha256_and_hmac_equal_those_of_node', () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(bytes, bytes, (key, message) => {
      assert.equal(hex(sha256(message)), createHash('sha256').update(message).digest('hex'));
      assert.equal(hex(sha256(key, message)), createHash('sha256').update(key).update(message).digest('hex'));
      assert.equal(hex(hmacSha256(key, message)), createHmac('sha256', key).update(message).digest('hex'));
    }),
  );
});

test('long_messages_are_hashed', () => {
  const message = new Uint8Array(1_000_000).fill(97);
  assert.equal(hex(sha256(message)), 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0');
});

test('utf8_and_base64_equal_those_of_node', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.uint8Array(), (text, bytes) => {
      assert.deepEqual(utf8(text), new Uint8Array(new TextEncoder().encode(text)));
      assert.equal(base64(bytes), Buffer.from(bytes).toString('base64'));
      assert.deepEqual(fromBase64(base64(bytes)), new Uint8Array(bytes));
    }),
  );
  assert.deepEqual(utf8('\ud800a'), new Uint8Array(new TextEncoder().encode('\ud800a')));
});

test('signature_equals_the_vector_of_the_service', () => {
  const headers = signatureHeaders('BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=', {
    method: 'POST',
    path: '/api/wx/consume?a=1',
    timestamp: 1795480952,
    nonce: 'n-1',
    idempotencyKey: 'use-1',
    body: '{}',
  });
  assert.deepEqual(headers, {
    'X-Avalon-Timestamp': '1795480952',
    'X-Avalon-Nonce': 'n-1',
    'X-Avalon-Signature': 'v2,nprs6FqSd8tQZXQ7s6H0s06QFkG5KgJfg3O3WkoTKcQ=',
  });
});

test('hmac_equals_the_vector_of_wechat', () => {
  const signature = hex(hmacSha256(utf8('o0q0otL8aEzpcZL/FT9WsQ=='), utf8('{"foo":"bar"}')));
  assert.equal(signature, '654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b');
});
