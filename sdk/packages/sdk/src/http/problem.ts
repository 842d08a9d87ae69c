/** Turns answers that are no success into errors. */
import { AvalonError } from '../base/errors.js';
import { isRecord, isString, number, text } from '../base/store.js';
import type { Answer } from './attempt.js';

/** Returns the error of a problem document, as in the body of an answer or in a failed job. */
export function problem(body: unknown, status: number, header: Answer['header'] = {}): AvalonError {
  const fields = isRecord(body) ? body : {};
  const { code } = fields;
  const seconds = Number(header['retry-after']);
  const retryAfter = seconds >= 0 ? seconds : number(fields['retryAfter']);
  return new AvalonError(isString(code) ? code : `HTTP_${status}`, {
    message: text(fields['detail']),
    status: number(fields['status']) || status,
    // An answer without a code comes from a proxy; 5xx and 429 of those pass.
    retryable: isString(code) ? fields['retryable'] === true : status >= 500 || status === 429,
    requestId: text(fields['requestId']) || header['x-request-id'],
    retryAfter: retryAfter === undefined ? undefined : retryAfter * 1000,
    orderId: text(fields['orderId']),
  });
}
