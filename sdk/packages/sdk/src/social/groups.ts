/** The group in which a card was opened. WeChat encrypts its id; the service decrypts it. */
import { fits } from '../api/read.js';
import type { Cancellable } from '../base/cancel.js';
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import { isFunction } from '../base/values.js';
import type { Core } from '../core.js';
import type { Entry } from './entries.js';

/** Returns the id of the group of an entry with a share ticket. */
export async function groupOf(
  { host, http, session }: Core,
  { shareTicket, shareId }: Entry,
  options?: Cancellable,
): Promise<string> {
  if (!shareTicket) throw new AvalonError('UNSUPPORTED', { message: 'no shareTicket' });
  // A sign-in changes the key that the data are encrypted with, so it comes first.
  await session.credentials();
  const data = await groupData(host, shareTicket);
  return http.submit('share/group', { ...data, shareId }, readGroup, options);
}

function readGroup(body: unknown): string | undefined {
  return fits(body, 'openGId') ? (body['openGId'] as string) : undefined;
}

function groupData({ wx }: Host, shareTicket: string): Promise<{ encryptedData: string; iv: string }> {
  return new Promise((resolve, reject) => {
    const fail = ({ errMsg }: { errMsg?: string }): void =>
      reject(new AvalonError('UNSUPPORTED', { message: errMsg }));
    const success = ({ encryptedData, iv }: { encryptedData?: string; iv?: string }): void =>
      encryptedData && iv ? resolve({ encryptedData, iv }) : fail({});
    if (isFunction(wx.getGroupEnterInfo)) wx.getGroupEnterInfo({ success, fail });
    else if (isFunction(wx.getShareInfo)) wx.getShareInfo({ success, fail, shareTicket });
    else fail({ errMsg: 'getGroupEnterInfo' });
  });
}
