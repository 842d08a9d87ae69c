/** The group in which a card was opened. WeChat encrypts its id; the service decrypts it. */
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import { isRecord, isString } from '../base/store.js';
import type { Http } from '../http/http.js';
import type { Entry } from './entries.js';

/** Returns the id of the group of an entry with a share ticket. */
export async function groupOf(
  host: Host,
  http: Http,
  signedIn: () => Promise<unknown>,
  { shareTicket, shareId }: Entry,
): Promise<string> {
  if (!shareTicket) throw new AvalonError('UNSUPPORTED', { message: 'the entry does not come from a group' });
  // A sign-in changes the key that the data are encrypted with, so it comes first.
  await signedIn();
  const data = await groupData(host, shareTicket);
  return http.call({
    method: 'POST',
    path: '/api/wx/share/group',
    body: Object.assign(data, shareId === undefined ? {} : { shareId }),
    read: (body) => (isRecord(body) && isString(body['openGId']) ? body['openGId'] : undefined),
  });
}

function groupData({ wx }: Host, shareTicket: string): Promise<{ encryptedData: string; iv: string }> {
  return new Promise((resolve, reject) => {
    const callbacks = {
      success: ({ encryptedData, iv }: { encryptedData?: string; iv?: string }) =>
        encryptedData && iv ? resolve({ encryptedData, iv }) : reject(new AvalonError('UNSUPPORTED')),
      fail: ({ errMsg }: { errMsg: string }) => reject(new AvalonError('UNSUPPORTED', { message: errMsg })),
    };
    if (typeof wx.getGroupEnterInfo === 'function') wx.getGroupEnterInfo(callbacks);
    else if (typeof wx.getShareInfo === 'function') wx.getShareInfo({ ...callbacks, shareTicket });
    else callbacks.fail({ errMsg: 'getGroupEnterInfo is missing' });
  });
}
