/** Asks WeChat for the data of a ranking. */
import type { ShowMessage } from './protocol.js';
import { rank, type Row } from './rows.js';
import type { ContextWx, FriendData, SelfData } from './wx.js';

/** What is shown. `refused`: the player does not share their friends with the game. */
export type State =
  | { readonly kind: 'loading' | 'empty' | 'refused' | 'error' }
  | { readonly kind: 'rows'; readonly rows: readonly Row[] };

/** Loads the rows; calls back exactly once. */
export function load(wx: ContextWx, message: ShowMessage, done: (state: State) => void): void {
  loadSelf(wx, (self) =>
    loadFriends(
      wx,
      message,
      (data) => {
        const rows = rank(data, self, message);
        done(rows.length === 0 ? { kind: 'empty' } : { kind: 'rows', rows });
      },
      (errMsg) => done({ kind: /auth|privacy|scope/.test(errMsg) ? 'refused' : 'error' }),
    ),
  );
}

/** Without the player's own data the ranking lacks only the mark of the own row. */
function loadSelf(wx: ContextWx, done: (self: SelfData | undefined) => void): void {
  if (typeof wx.getUserInfo !== 'function') return done(undefined);
  wx.getUserInfo({
    openIdList: ['selfOpenId'],
    success: ({ data }) => done(data && data[0]),
    fail: () => done(undefined),
  });
}

function loadFriends(
  wx: ContextWx,
  { kind, key, shareTicket, groupId }: ShowMessage,
  done: (data: readonly FriendData[]) => void,
  failed: (errMsg: string) => void,
): void {
  const callbacks = {
    keyList: [key],
    success: ({ data }: { data?: readonly FriendData[] }) => done(Array.isArray(data) ? data : []),
    fail: ({ errMsg }: { errMsg?: string }) => failed(String(errMsg)),
  };
  if (kind === 'group' && wx.getGroupCloudStorage) {
    // The id of the group needs base library 3.8.8; the ticket works everywhere, but only for that entry.
    wx.getGroupCloudStorage({ ...callbacks, ...(shareTicket ? { shareTicket } : { groupid: groupId }) });
  } else if (kind === 'friends' && wx.getFriendCloudStorage) {
    wx.getFriendCloudStorage(callbacks);
  } else {
    failed('missing');
  }
}
