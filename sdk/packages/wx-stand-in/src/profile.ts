/** `UserInfoButton` and `wx.getUserInfo`: the profile, after the player's consent. */
import type { Game } from './game.js';

export interface ProfileResult {
  readonly errMsg: string;
  readonly userInfo?: { readonly nickName: string; readonly avatarUrl: string };
  readonly rawData?: string;
  readonly signature?: string;
  readonly encryptedData?: string;
  readonly iv?: string;
}

export interface UserInfoButton {
  readonly style: object;
  show(): void;
  hide(): void;
  destroy(): void;
  onTap(listener: (result: ProfileResult) => void): void;
  offTap(listener?: (result: ProfileResult) => void): void;
  /** Taps the button, as the player does; not part of WeChat. */
  tap(): Promise<void>;
}

/** Reads the profile; rejects without the player's consent. */
export async function readProfile(game: Game): Promise<ProfileResult> {
  const { consents, player, world } = game.phone;
  await consents.require('scope.userInfo', 'getUserInfo');
  const userInfo = { nickName: player.nickname, avatarUrl: player.avatarUrl };
  const data = Object.assign({ openId: player.openid, gender: 0, language: 'zh_CN' }, userInfo);
  const encrypted = await world.platform.encrypt(player.openid, data);
  return Object.assign({ errMsg: 'getUserInfo:ok', userInfo }, encrypted);
}

export function createUserInfoButton(game: Game, style: object): UserInfoButton {
  const listeners = new Set<(result: ProfileResult) => void>();
  let visible = true;
  return {
    style,
    show: () => void (visible = true),
    hide: () => void (visible = false),
    destroy: () => listeners.clear(),
    onTap: (listener) => void listeners.add(listener),
    offTap: (listener) => void (listener ? listeners.delete(listener) : listeners.clear()),
    tap: async () => {
      if (!visible) return;
      let result: ProfileResult;
      try {
        result = await readProfile(game);
      } catch (error) {
        result = { errMsg: (error as Error).message };
      }
      for (const listener of Array.from(listeners)) game.life.deliver(() => listener(result));
    },
  };
}
