/** Answers that come later: 202 names a job, which is read until it is finished. */
import { AvalonError } from '../base/errors.js';
import { isRecord } from '../base/values.js';
import type { Answer } from './attempt.js';
import { problem } from './problem.js';

/** Returns the address of the job that a 202 names, with the time to wait; undefined for any other answer. */
export function jobAddress({ status, header }: Answer, waitSeconds: number): string | undefined {
  if (status !== 202) return undefined;
  const { location } = header;
  // An address elsewhere would receive the player's token.
  if (!location || location.indexOf('/api/jobs/') !== 0)
    throw new AvalonError('MALFORMED_ANSWER', { status });
  return `${location}${location.indexOf('?') < 0 ? '?' : '&'}wait=${waitSeconds}`;
}

/** Returns the result of a finished job, undefined while it runs; throws its error. */
export function jobResult({ body, status }: Answer): { readonly result: unknown } | undefined {
  const job = isRecord(body) ? body : {};
  const state = job['status'];
  if (state === 'succeeded') return { result: job['result'] };
  if (state === 'failed') throw problem(job['error'], 0);
  if (['queued', 'running', 'retrying'].indexOf(state as string) < 0)
    throw new AvalonError('MALFORMED_ANSWER', { status });
  return undefined;
}
