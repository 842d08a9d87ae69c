/** Texts of the states. */

export interface Labels {
  readonly loading: string;
  readonly empty: string;
  readonly refused: string;
  readonly error: string;
  /** Stands for a player without a name. */
  readonly nameless: string;
}

const CHINESE: Labels = {
  loading: '加载中…',
  empty: '还没有成绩，快邀请好友来挑战吧',
  refused: '未授权朋友信息，可在设置中开启',
  error: '加载失败，请稍后再试',
  nameless: '微信用户',
};

const ENGLISH: Labels = {
  loading: 'Loading…',
  empty: 'No scores yet: challenge a friend',
  refused: 'Friends are not shared; see the settings',
  error: 'Not available now, try again later',
  nameless: 'Player',
};

export function labelsOf(language: string): Labels {
  return /^zh/.test(language) ? CHINESE : ENGLISH;
}
