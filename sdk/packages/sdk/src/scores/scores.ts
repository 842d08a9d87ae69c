/** Scores and leaderboards of the service. Scores may wait in storage while the phone is offline. */
import { fits, whole } from '../api/read.js';
import type { Cancellable, CancelToken } from '../base/cancel.js';
import { invalid, toError } from '../base/errors.js';
import { isNumber, isRecord, isString, nothing, shared } from '../base/values.js';
import { part } from '../core.js';
import { queryOf } from '../http/query.js';

export interface ScoreOptions extends Cancellable {
  /** Stored with the score; JSON. */
  readonly extra?: object;
  /** From `run`, for boards that require one. */
  readonly runId?: string;
  /** Stores the score while the service cannot be reached, and sends it later. Not for boards with runs. */
  readonly keepOffline?: boolean;
}

export interface ScoreResult {
  readonly accepted: boolean;
  readonly best: number;
  readonly rank: number | null;
}

export interface LeaderboardEntry {
  readonly rank: number;
  readonly userId: string;
  readonly nickname?: string;
  readonly avatarUrl?: string;
  readonly score: number;
}

export interface Leaderboard {
  readonly board: string;
  readonly window: string;
  readonly entries: readonly LeaderboardEntry[];
  readonly me: LeaderboardEntry | null;
  readonly nextCursor: string | null;
}

export interface LeaderboardQuery extends Cancellable {
  readonly limit?: number;
  readonly cursor?: string;
  /** Centres the list on the player. */
  readonly around?: 'me';
  readonly window?: string;
  /** The id of a group (`social.group`). */
  readonly group?: string;
}

/** Scores and leaderboards. */
export interface Scores {
  /** Reports a score; resolves with undefined when it was stored for later. */
  score(board: string, score: number, options?: ScoreOptions): Promise<ScoreResult | undefined>;
  /** Opens a run, for boards that require one. */
  run(board: string, options?: Cancellable): Promise<{ runId: string; expires: number }>;
  leaderboard(board: string, query?: LeaderboardQuery): Promise<Leaderboard>;
}

/** A score that waits, with its `Idempotency-Key`. */
interface Kept {
  readonly key: string;
  readonly body: object;
}

const KEY = 'scores';
const MAX_KEPT = 100;

/** Part: scores and leaderboards. */
export const scores = part((core): { readonly scores: Scores } => {
  const { http, store, app, ids } = core;
  let kept = (store.read(KEY, Array.isArray) || []).filter(isKept);
  const keep = (left: Kept[]): void => {
    kept = left;
    store.write(KEY, kept);
  };

  const send = ({ key, body }: Kept, attempts: number, cancel?: CancelToken): Promise<ScoreResult> =>
    http.submit('score', body, readScore, { idempotencyKey: key, attempts, cancel });

  /** Sends what waits, in order; stops at the first that cannot be sent now. */
  const resume = shared(async (): Promise<void> => {
    for (let first = kept[0]; first && app.connected; first = kept[0]) {
      try {
        await send(first, 2);
      } catch (error) {
        const { status, retryable } = toError(error);
        if (!status || retryable || status === 401) return;
      }
      keep(kept.slice(1));
    }
  });
  const wake = (): void => void resume();
  app.online.listen(wake);
  app.returned.listen(wake);
  if (core.session.player()) core.host.setTimeout(wake, 0);

  return {
    scores: {
      async score(board, score, { extra, runId, keepOffline, cancel } = {}) {
        checkBoard(board);
        if (!isNumber(score)) throw invalid('score');
        const entry = { key: ids(), body: { board, score, extra, runId } };
        try {
          return await send(entry, keepOffline ? 2 : 5, cancel);
        } catch (error) {
          const { status, retryable, code } = toError(error);
          if (!keepOffline || code === 'CANCELLED' || (status && !retryable)) throw error;
          keep(kept.concat(entry).slice(-MAX_KEPT));
          return nothing();
        }
      },
      async run(board, options) {
        checkBoard(board);
        return http.submit('score/run', { board }, readRun, options);
      },
      async leaderboard(board, query = {}) {
        checkBoard(board);
        const path = `leaderboard/${encodeURIComponent(board)}${queryOf(query)}`;
        return http.load(path, readLeaderboard, { cancel: query.cancel });
      },
    },
  };
});

function checkBoard(board: string): void {
  if (!isString(board) || !board) throw invalid('board');
}

function isKept(value: unknown): value is Kept {
  return fits(value, 'key') && isRecord(value['body']);
}

const readRun = whole<{ runId: string; expires: number }>('runId #expires');
const readLeaderboard = whole<Leaderboard>('', 'entries', '#rank #score');

function readScore(body: unknown): ScoreResult | undefined {
  return isRecord(body) && typeof body['accepted'] === 'boolean'
    ? (body as unknown as ScoreResult)
    : undefined;
}
