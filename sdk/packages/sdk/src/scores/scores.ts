/** Scores and leaderboards of the service. Scores may wait in storage while the phone is offline. */
import type { Cancellable, CancelToken } from '../base/cancel.js';
import { invalid, toError } from '../base/errors.js';
import { checked, listOf, numbers, texts } from '../api/read.js';
import { isNumber, isRecord, isString } from '../base/store.js';
import type { Core } from '../core.js';
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

interface Kept {
  readonly key: string;
  readonly body: object;
}

const KEY = 'scores';
const MAX_KEPT = 100;

export function createScores({ http, store, app, ids }: Core): Scores & { resume(): void } {
  let kept = (store.read(KEY, Array.isArray) || []).filter(isKept);
  let sending = false;

  const send = ({ key, body }: Kept, attempts: number, cancel?: CancelToken): Promise<ScoreResult> =>
    http.post('/api/wx/score', body, readScore, { idempotencyKey: key, attempts, cancel });

  /** Sends what waits, in order; stops at the first that cannot be sent now. */
  const resume = async (): Promise<void> => {
    if (sending || !app.connected) return;
    sending = true;
    try {
      for (let first = kept[0]; first; first = kept[0]) {
        try {
          await send(first, 2);
        } catch (error) {
          const { status, retryable } = toError(error);
          if (status === 0 || retryable || status === 401) return;
        }
        kept = kept.slice(1);
        store.write(KEY, kept);
      }
    } finally {
      sending = false;
    }
  };
  const wake = (): void => void resume();
  app.online.add(wake);
  app.shown.add(wake);

  return {
    resume: wake,
    async score(board, score, options = {}) {
      checkBoard(board);
      if (!isNumber(score)) throw invalid('score');
      const { extra, runId, keepOffline } = options;
      const entry = {
        key: ids.next(),
        body: { board, score, extra, runId },
      };
      try {
        return await send(entry, keepOffline ? 2 : 5, options.cancel);
      } catch (error) {
        const { status, retryable, code } = toError(error);
        if (!keepOffline || code === 'CANCELLED' || (status !== 0 && !retryable)) throw error;
        kept = kept.concat(entry).slice(-MAX_KEPT);
        store.write(KEY, kept);
        return undefined;
      }
    },
    async run(board, options) {
      checkBoard(board);
      return http.post('/api/wx/score/run', { board }, readRun, options);
    },
    async leaderboard(board, query = {}) {
      checkBoard(board);
      const path = `/api/wx/leaderboard/${encodeURIComponent(board)}${queryOf({ ...query })}`;
      return http.get(path, readLeaderboard, { cancel: query.cancel });
    },
  };
}

function checkBoard(board: string): void {
  if (!isString(board) || board === '') throw invalid('board');
}

function isKept(value: unknown): value is Kept {
  return texts(value, 'key') && isRecord(value['body']);
}

const readRun = checked<{ runId: string; expires: number }>(
  (body) => texts(body, 'runId') && numbers(body, 'expires'),
);
const readScore = checked<ScoreResult>((body) => typeof body['accepted'] === 'boolean');
const readLeaderboard = checked<Leaderboard>((body) => listOf(body['entries'], isEntry));

function isEntry(value: unknown): value is LeaderboardEntry {
  return numbers(value, 'rank', 'score');
}
