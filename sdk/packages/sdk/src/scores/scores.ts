/** Scores and leaderboards of the service. Scores may wait in storage while the phone is offline. */
import { AvalonError, toError } from '../base/errors.js';
import type { Ids } from '../base/ids.js';
import type { AppState } from '../base/lifecycle.js';
import { isNumber, isRecord, isString, type Store } from '../base/store.js';
import type { Http } from '../http/http.js';
import { queryOf } from '../payments/payments.js';

export interface ScoreOptions {
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
  readonly rank: number | undefined;
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
  readonly me: LeaderboardEntry | undefined;
  readonly nextCursor: string | null;
}

export interface LeaderboardQuery {
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
  run(board: string): Promise<{ runId: string; expires: number }>;
  leaderboard(board: string, query?: LeaderboardQuery): Promise<Leaderboard>;
}

interface Kept {
  readonly key: string;
  readonly body: object;
}

const KEY = 'scores';
const MAX_KEPT = 100;

export function createScores(http: Http, store: Store, app: AppState, ids: Ids): Scores & { resume(): void } {
  let kept = (store.read(KEY, Array.isArray) || []).filter(isKept);
  let sending = false;

  const send = ({ key, body }: Kept, attempts: number): Promise<ScoreResult> =>
    http.call({
      method: 'POST',
      path: '/api/wx/score',
      body,
      idempotencyKey: key,
      read: readScore,
      attempts,
    });

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
      if (!isNumber(score)) throw new AvalonError('ARGUMENT_INVALID', { message: 'score is not a number' });
      const { extra, runId, keepOffline } = options;
      const entry = {
        key: ids.next(),
        body: Object.assign({ board, score }, extra ? { extra } : {}, runId ? { runId } : {}),
      };
      try {
        return await send(entry, keepOffline ? 2 : 5);
      } catch (error) {
        const { status, retryable, code } = toError(error);
        if (!keepOffline || code === 'CANCELLED' || (status !== 0 && !retryable)) throw error;
        kept = kept.concat(entry).slice(-MAX_KEPT);
        store.write(KEY, kept);
        return undefined;
      }
    },
    async run(board) {
      checkBoard(board);
      return http.call({
        method: 'POST',
        path: '/api/wx/score/run',
        body: { board },
        read: (body) =>
          isRecord(body) && isString(body['runId'])
            ? { runId: body['runId'], expires: Number(body['expires']) || 0 }
            : undefined,
      });
    },
    async leaderboard(board, query = {}) {
      checkBoard(board);
      const path = `/api/wx/leaderboard/${encodeURIComponent(board)}${queryOf(query)}`;
      return http.call({ method: 'GET', path, read: readLeaderboard });
    },
  };
}

function checkBoard(board: string): void {
  if (!isString(board) || board === '')
    throw new AvalonError('ARGUMENT_INVALID', { message: 'board is not a name' });
}

function isKept(value: unknown): value is Kept {
  return isRecord(value) && isString(value['key']) && isRecord(value['body']);
}

function readScore(body: unknown): ScoreResult | undefined {
  if (!isRecord(body) || typeof body['accepted'] !== 'boolean') return undefined;
  const rank = body['rank'];
  return { accepted: body['accepted'], best: Number(body['best']), rank: isNumber(rank) ? rank : undefined };
}

function isEntry(value: unknown): value is LeaderboardEntry {
  return isRecord(value) && isNumber(value['rank']) && isNumber(value['score']);
}

function readLeaderboard(body: unknown): Leaderboard | undefined {
  if (!isRecord(body) || !Array.isArray(body['entries'])) return undefined;
  const cursor = body['nextCursor'];
  return {
    board: String(body['board']),
    window: String(body['window'] || ''),
    entries: body['entries'].filter(isEntry),
    me: isEntry(body['me']) ? body['me'] : undefined,
    nextCursor: isString(cursor) ? cursor : null,
  };
}
