/** Subscribe messages: asks the player, and reports every answer to the service. */
import { readNothing } from '../api/read.js';
import { AvalonError, invalid } from '../base/errors.js';
import type { Host } from '../base/host.js';
import { ignore, isFunction, isRecord } from '../base/values.js';
import type { Core } from '../core.js';

/** The player's answer for one template. */
export type SubscribeResult = 'accept' | 'reject' | 'ban' | 'filter';

type Results = { [templateId: string]: SubscribeResult };

const MAX_TEMPLATES = 3;

/** Shows WeChat's panel; call it from a tap or when a payment has ended. Resolves with every answer. */
export async function subscribe({ host, http }: Core, templateIds: string[]): Promise<Results> {
  const { length } = templateIds;
  if (!length || length > MAX_TEMPLATES) throw invalid(`1 to ${MAX_TEMPLATES} templates`);
  const results = await panel(host, templateIds);
  // The service counts what may be sent; a lost report costs messages, not the player's answer.
  ignore(http.submit('subscriptions', { results }, readNothing));
  return results;
}

function panel({ wx }: Host, tmplIds: string[]): Promise<Results> {
  return new Promise((resolve, reject) => {
    if (!isFunction(wx.requestSubscribeMessage)) return reject(new AvalonError('UNSUPPORTED'));
    wx.requestSubscribeMessage({
      tmplIds,
      success: (answer) => {
        const results: Results = {};
        for (const id of tmplIds) {
          const result = isRecord(answer) && answer[id];
          if (/^(accept|reject|ban|filter)$/.test(result as string)) results[id] = result as SubscribeResult;
        }
        resolve(results);
      },
      fail: ({ errMsg, errCode }) =>
        reject(new AvalonError('UNSUPPORTED', { message: errMsg, wxCode: errCode })),
    });
  });
}
