/** The panel of `wx.requestSubscribeMessage`: at most three templates, only after a tap or a payment. */
import { failure } from './callbacks.js';

export type SubscribeAnswer = 'accept' | 'reject' | 'ban' | 'filter';

/** The subscriptions of one player. */
export class Subscriptions {
  /** Answers the panel, template by template. */
  panel: (
    templates: string[],
  ) => { [template: string]: SubscribeAnswer } | Promise<{ [template: string]: SubscribeAnswer }> = (
    templates,
  ) => {
    const answers: { [template: string]: SubscribeAnswer } = {};
    for (const template of templates) answers[template] = 'accept';
    return answers;
  };
  /** The switch for all messages of the game, in WeChat's settings. */
  mainSwitch = true;
  /** Whether a tap or a payment happened that allows a panel. */
  gesture = true;

  async request(templates: unknown, inForeground: boolean): Promise<{ [template: string]: string }> {
    const refuse = (reason: string, errCode: number): never => {
      throw failure('requestSubscribeMessage', reason, { errCode });
    };
    if (!Array.isArray(templates) || templates.length === 0) return refuse('TmplIds is empty', 10001);
    if (!templates.every((template) => typeof template === 'string' && template !== '')) {
      return refuse('TmplIds is malformed', 10004);
    }
    if (!inForeground) return refuse('the panel cannot be shown in the background', 10005);
    if (templates.length > 3) return refuse('templates count out of max bounds', 20003);
    if (!this.mainSwitch) return refuse('The main switch is switched off', 20004);
    if (!this.gesture) return refuse('can only be invoked by user TAP gesture.', 20005);
    const answers = await this.panel(templates as string[]);
    return Object.assign({ errMsg: 'requestSubscribeMessage:ok' }, answers);
  }
}
