/** Turns WeChat's data into ranked rows. Data of friends may be of older versions of the game, or of none. */
import type { ShowMessage } from './protocol.js';
import type { FriendData, SelfData } from './wx.js';

export interface Row {
  readonly rank: number;
  readonly name: string;
  readonly avatarUrl: string;
  readonly score: number;
  readonly self: boolean;
}

interface Candidate {
  readonly name: string;
  readonly avatarUrl: string;
  readonly openid: string;
  score: number;
  readonly time: number;
  self: boolean;
}

/** Returns the rows in order. Equal scores share a rank; who reached it earlier comes first. */
export function rank(data: readonly FriendData[], self: SelfData | undefined, message: ShowMessage): Row[] {
  const candidates: Candidate[] = [];
  for (const friend of data) {
    const value = valueOf(friend, message.key);
    if (value && value.time >= message.since) {
      candidates.push({
        name: String(friend.nickname || ''),
        avatarUrl: String(friend.avatarUrl || ''),
        openid: String(friend.openid || ''),
        score: value.score,
        time: value.time,
        self: false,
      });
    }
  }
  markSelf(candidates, self, message);
  const direction = message.order === 'asc' ? 1 : -1;
  candidates.sort((a, b) => (a.score - b.score) * direction || a.time - b.time);
  let place = 0;
  return candidates.map(({ name, avatarUrl, score, self: own }, index) => {
    const previous = candidates[index - 1];
    if (!previous || previous.score !== score) place = index + 1;
    return { rank: place, name, avatarUrl, score, self: own };
  });
}

/** WeChat has a new score only after a while, and of a new player not even a row. */
function markSelf(candidates: Candidate[], self: SelfData | undefined, { own, order }: ShowMessage): void {
  const mine = self && candidates.filter((row) => isSelf(row, self))[0];
  if (mine) {
    mine.self = true;
    if (own !== '' && (order === 'asc' ? own < mine.score : own > mine.score)) mine.score = own;
  } else if (own !== '' && self) {
    candidates.push({
      name: String(self.nickName || ''),
      avatarUrl: String(self.avatarUrl || ''),
      openid: '',
      score: own,
      time: Infinity,
      self: true,
    });
  }
}

function isSelf(row: Candidate, self: SelfData): boolean {
  if (self.openId && row.openid) return self.openId === row.openid;
  return row.name === self.nickName && row.avatarUrl === (self.avatarUrl || '');
}

/** Reads `{"wxgame":{"score":16,"update_time":1513080573}}`, WeChat's own format, or a bare number. */
function valueOf(friend: FriendData, key: string): { score: number; time: number } | undefined {
  for (const pair of friend.KVDataList || []) {
    if (pair.key !== key) continue;
    try {
      const value = JSON.parse(pair.value) as
        { wxgame?: { score?: unknown; update_time?: unknown } } | number;
      const inner = typeof value === 'object' && value !== null ? value.wxgame : { score: value };
      const score = Number(inner && inner.score);
      if (inner && inner.score !== null && inner.score !== '' && isFinite(score)) {
        return { score, time: Number((inner as { update_time?: unknown }).update_time) || 0 };
      }
    } catch {
      // Not ours.
    }
  }
  return undefined;
}
