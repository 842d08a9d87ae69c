// The SDK sends what the open data context understands: both have the same message types.
import type * as context from '@avalon-wx/open-data-context';
import type * as sdk from '../../packages/sdk/src/scores/friends-protocol.js';

type Same<A, B> = [A] extends [B]
  ? [B] extends [A]
    ? keyof A extends keyof B
      ? true
      : false
    : false
  : false;

export const show: Same<sdk.ShowMessage, context.ShowMessage> = true;
export const hide: Same<sdk.HideMessage, context.HideMessage> = true;
export const messages: Same<sdk.FriendsMessage, context.Message> = true;
export const version: typeof sdk.FRIENDS_PROTOCOL = 1 satisfies typeof context.PROTOCOL;
