/** Turns answers that are no success into errors. */
import { AvalonError, type ErrorDetails } from '../base/errors.js';
import { isNumber, isRecord, isString } from '../base/store.js';
import type { Answer } from './attempt.js';

/** Returns the error of a problem document, as in the body of an answer or in a failed job. */
export function problem(body: unknown, status: number, header: Answer['header'] = {}): AvalonError {
  const fields = isRecord(body) ? body : {};
  const seconds = Number(header['retry-after']);
  const details: { -readonly [K in keyof ErrorDetails]: ErrorDetails[K] } = {
    status: isNumber(fields['status']) ? fields['status'] : status,
    // An answer without a problem document comes from a proxy; 5xx and 429 of those pass.
    retryable:
      fields['retryable'] === true || (!isString(fields['code']) && (status >= 500 || status === 429)),
  };
  if (isString(fields['detail'])) details.message = fields['detail'];
  const requestId = isString(fields['requestId']) ? fields['requestId'] : header['x-request-id'];
  if (requestId !== undefined) details.requestId = requestId;
  if (isString(fields['orderId'])) details.orderId = fields['orderId'];
  if (seconds >= 0) details.retryAfter = seconds * 1000;
  else if (isNumber(fields['retryAfter'])) details.retryAfter = fields['retryAfter'] * 1000;
  return new AvalonError(isString(fields['code']) ? fields['code'] : `HTTP_${status}`, details);
}
