/** Answers that come later: 202 names a job, which is read until it is finished. */
import { AvalonError } from '../base/errors.js';
import { isRecord } from '../base/store.js';
import type { Answer } from './attempt.js';
import { problem } from './problem.js';

/** Returns the address of the job that a 202 names, with the time to wait; undefined for any other answer. */
export function jobAddress(answer: Answer, waitSeconds: number): string | undefined {
  if (answer.status !== 202) return undefined;
  const location = answer.header['location'];
  // An address elsewhere would receive the player's token.
  if (!location || !/^\/api\/jobs\//.test(location))
    throw new AvalonError('MALFORMED_ANSWER', { status: 202 });
  return `${location}${location.indexOf('?') < 0 ? '?' : '&'}wait=${waitSeconds}`;
}

/** Returns the result of a finished job, undefined while it runs; throws its error. */
export function jobResult(answer: Answer): { readonly result: unknown } | undefined {
  const body = isRecord(answer.body) ? answer.body : {};
  if (body['status'] === 'succeeded') return { result: body['result'] };
  if (body['status'] === 'failed') throw problem(body['error'], 0);
  if (['queued', 'running', 'retrying'].indexOf(String(body['status'])) < 0) {
    throw new AvalonError('MALFORMED_ANSWER', { status: answer.status });
  }
  return undefined;
}
