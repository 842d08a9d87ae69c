/** The group in which a card was opened. WeChat encrypts its id; the service decrypts it. */
import { field } from '../api/read.js';
import type { Cancellable } from '../base/cancel.js';
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import { isFunction, isString } from '../base/store.js';
import type { Core } from '../core.js';
import type { Entry } from './entries.js';

/** Returns the id of the group of an entry with a share ticket. */
export async function groupOf(
  { host, http, session }: Core,
  { shareTicket, shareId }: Entry,
  options: Cancellable = {},
): Promise<string> {
  if (!shareTicket) throw new AvalonError('UNSUPPORTED', { message: 'no shareTicket' });
  // A sign-in changes the key that the data are encrypted with, so it comes first.
  await session.credentials();
  const data = await groupData(host, shareTicket);
  return http.post('/api/wx/share/group', { ...data, shareId }, field('openGId', isString), options);
}

function groupData({ wx }: Host, shareTicket: string): Promise<{ encryptedData: string; iv: string }> {
  return new Promise((resolve, reject) => {
    const callbacks = {
      success: ({ encryptedData, iv }: { encryptedData?: string; iv?: string }) =>
        encryptedData && iv ? resolve({ encryptedData, iv }) : reject(new AvalonError('UNSUPPORTED')),
      fail: ({ errMsg }: { errMsg: string }) => reject(new AvalonError('UNSUPPORTED', { message: errMsg })),
    };
    if (isFunction(wx.getGroupEnterInfo)) wx.getGroupEnterInfo(callbacks);
    else if (isFunction(wx.getShareInfo)) wx.getShareInfo({ ...callbacks, shareTicket });
    else callbacks.fail({ errMsg: 'getGroupEnterInfo' });
  });
}
