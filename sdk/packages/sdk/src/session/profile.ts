/** The player's profile, through WeChat's `UserInfoButton`. WeChat has no other way in mini-games. */
import { field } from '../api/read.js';
import type { UserInfo } from '../api/types.js';
import type { Cancellable } from '../base/cancel.js';
import { AvalonError } from '../base/errors.js';
import { isFunction } from '../base/values.js';
import type { WxProfile, WxUserInfoButton } from '../base/wx.js';
import { part } from '../core.js';

/** Where the button is, in CSS pixels, and how it looks; passed to WeChat unchanged. */
export interface ProfileButtonOptions {
  readonly type: 'text' | 'image';
  readonly style: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  };
  readonly text?: string;
  readonly image?: string;
}

export interface ProfileButton {
  show(): void;
  hide(): void;
  destroy(): void;
}

/** The player's profile. */
export interface Profiles {
  /** Reads the profile from the service. */
  get(options?: Cancellable): Promise<UserInfo>;
  /** Shows WeChat's button; `onResult` receives the updated profile or the error of each tap. */
  button(
    options: ProfileButtonOptions,
    onResult: (error: AvalonError | undefined, user?: UserInfo) => void,
  ): ProfileButton;
  /** Sends data of `wx.getUserInfo` that the game obtained itself. */
  update(profile: WxProfile, options?: Cancellable): Promise<UserInfo>;
}

const read = field<UserInfo>('userInfo', '_id');

/** Part: reads and updates the player's profile. */
export const profile = part(({ host: { wx }, http, session }): { readonly profile: Profiles } => {
  const update = async (
    { encryptedData, iv, rawData, signature }: WxProfile,
    options?: Cancellable,
  ): Promise<UserInfo> => {
    const body = encryptedData && iv ? { encryptedData, iv } : { rawData, signature };
    const user = await http.submit('updateUserInfo', body, read, options);
    session.setPlayer(user);
    return user;
  };
  return {
    profile: {
      get: (options) => http.load('userInfo', read, options),
      update,
      button(options, onResult) {
        if (!isFunction(wx.createUserInfoButton)) throw new AvalonError('UNSUPPORTED');
        const button: WxUserInfoButton = wx.createUserInfoButton({
          withCredentials: true,
          lang: 'zh_CN',
          ...options,
        });
        button.onTap((result) => {
          if (result.encryptedData || result.rawData) {
            update(result).then((user) => onResult(undefined, user), onResult);
          } else onResult(new AvalonError('REFUSED_BY_PLAYER', { message: String(result.errMsg) }));
        });
        return { show: () => button.show(), hide: () => button.hide(), destroy: () => button.destroy() };
      },
    },
  };
});
