/** The player's profile, through WeChat's `UserInfoButton`. WeChat has no other way in mini-games. */
import { isFunction } from '../base/store.js';
import type { UserInfo } from '../api/types.js';
import { field, isUserInfo } from '../api/read.js';
import type { Cancellable } from '../base/cancel.js';
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import type { WxProfile, WxUserInfoButton } from '../base/wx.js';
import type { Http } from '../http/http.js';
import type { Session } from './session.js';

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

const read = field('userInfo', isUserInfo);

export function createProfiles(host: Host, http: Http, session: Session): Profiles {
  const update = async (profile: WxProfile, options: Cancellable = {}): Promise<UserInfo> => {
    const { encryptedData, iv, rawData, signature } = profile;
    const body = encryptedData && iv ? { encryptedData, iv } : { rawData, signature };
    const user = await http.post('/api/wx/updateUserInfo', body, read, options);
    session.setUser(user);
    return user;
  };
  return {
    get: (options) => http.get('/api/wx/userInfo', read, options),
    update,
    button(options, onResult) {
      const create = host.wx.createUserInfoButton;
      if (!isFunction(create)) throw new AvalonError('UNSUPPORTED');
      const button: WxUserInfoButton = create.call(host.wx, {
        withCredentials: true,
        lang: 'zh_CN',
        ...options,
      });
      button.onTap((result) => {
        if (!result.encryptedData && !result.rawData) {
          return onResult(new AvalonError('REFUSED_BY_PLAYER', { message: String(result.errMsg) }));
        }
        update(result).then(
          (user) => onResult(undefined, user),
          (error: AvalonError) => onResult(error),
        );
      });
      return { show: () => button.show(), hide: () => button.hide(), destroy: () => button.destroy() };
    },
  };
}
