/** Subscribe messages: asks the player, and reports every answer to the service. */
import { readNothing } from '../api/read.js';
import { AvalonError } from '../base/errors.js';
import type { Host } from '../base/host.js';
import { isFunction, isRecord } from '../base/store.js';
import type { Core } from '../core.js';

/** The player's answer for one template. */
export type SubscribeResult = 'accept' | 'reject' | 'ban' | 'filter';

const MAX_TEMPLATES = 3;
const RESULTS = ['accept', 'reject', 'ban', 'filter'];

/** Shows WeChat's panel; call it from a tap or when a payment has ended. Resolves with every answer. */
export async function subscribe(
  { host, http }: Core,
  templateIds: string[],
): Promise<{ [templateId: string]: SubscribeResult }> {
  if (templateIds.length === 0 || templateIds.length > MAX_TEMPLATES) {
    throw new AvalonError('ARGUMENT_INVALID', { message: `1 to ${MAX_TEMPLATES} templates` });
  }
  const results = await ask(host, templateIds);
  // The service counts what may be sent; a lost report costs messages, not the player's answer.
  http.post('/api/wx/subscriptions', { results }, readNothing).catch(() => undefined);
  return results;
}

function ask({ wx }: Host, tmplIds: string[]): Promise<{ [templateId: string]: SubscribeResult }> {
  return new Promise((resolve, reject) => {
    if (!isFunction(wx.requestSubscribeMessage)) return reject(new AvalonError('UNSUPPORTED'));
    wx.requestSubscribeMessage({
      tmplIds,
      success: (answer) => {
        const results: { [templateId: string]: SubscribeResult } = {};
        for (const id of tmplIds) {
          const result = isRecord(answer) ? String(answer[id]) : '';
          if (RESULTS.indexOf(result) >= 0) results[id] = result as SubscribeResult;
        }
        resolve(results);
      },
      fail: ({ errMsg, errCode }) =>
        reject(new AvalonError('UNSUPPORTED', { message: errMsg, wxCode: errCode })),
    });
  });
}
