/** Turns answers that are no success into errors. */
import { AvalonError } from '../base/errors.js';
import { isNumber, isRecord, isString, text } from '../base/values.js';
import type { Answer } from './attempt.js';

/** Returns the error of a problem document, as in the body of an answer or in a failed job. */
export function problem(body: unknown, answered: number, header: Answer['header'] = {}): AvalonError {
  const { code, detail, status, retryable, requestId, retryAfter, orderId } = (
    isRecord(body) ? body : {}
  ) as { [name: string]: unknown };
  const named = Number(header['retry-after']);
  const seconds = named >= 0 ? named : retryAfter;
  const known = isString(code);
  return new AvalonError(known ? code : `HTTP_${answered}`, {
    message: text(detail),
    status: (isNumber(status) && status) || answered,
    // An answer without a code comes from a proxy; 5xx and 429 of those pass.
    retryable: known ? retryable === true : answered >= 500 || answered === 429,
    requestId: text(requestId) || header['x-request-id'],
    retryAfter: isNumber(seconds) ? seconds * 1000 : undefined,
    orderId: text(orderId),
  });
}
