/** The parts of WeChat that ask the player: payment sheet, share picker, subscribe panel, consent. */
import type { Phone, SheetAnswer, ShareTarget } from '@avalon-wx/wx-stand-in';
import { ask, el } from './dom.js';
import { t } from './texts.js';

/** What a scenario answers in the player's place; undefined asks the player. */
export interface Answers {
  readonly name: string;
  readonly sheet: SheetAnswer | undefined;
  readonly target: ShareTarget | undefined;
  readonly panel: 'accept' | 'reject' | undefined;
  readonly targets: () => readonly ShareTarget[];
  readonly onPanel: (results: Record<string, string>) => Promise<unknown>;
}

/** Shows the dialogues of a phone on the page. */
export function answerWeChat({ payments, sharing, subscriptions, consents }: Phone, answers: Answers): void {
  payments.answer = () => answers.sheet ?? askForPayment(answers.name);
  sharing.picker = () =>
    answers.target ??
    ask<ShareTarget | undefined>(
      t('shareTitle'),
      answers.targets().map((target) => ['group' in target ? t('group') : target.friend, target] as const),
      undefined,
    );
  subscriptions.panel = async (templates) => {
    const choices = [
      [t('accept'), 'accept'],
      [t('reject'), 'reject'],
    ] as const;
    const answer = answers.panel ?? (await ask<'accept' | 'reject'>(t('subscribeTitle'), choices, 'reject'));
    const results = Object.fromEntries(templates.map((template) => [template, answer]));
    await answers.onPanel(results).catch(() => undefined);
    return results;
  };
  consents.ask = () =>
    ask<'accept' | 'refuse'>(
      t('consentTitle'),
      [
        [t('accept'), 'accept'],
        [t('reject'), 'refuse'],
      ],
      'refuse',
    );
}

function askForPayment(name: string): Promise<SheetAnswer> {
  const code = el('input', { type: 'number', value: '-15015' });
  const extra = el('label', {}, `${t('sheetFail')} `, code);
  const fail = Symbol('fail');
  return ask<SheetAnswer | symbol>(
    `${t('sheetTitle')}: ${name}`,
    [
      [t('sheetPay'), 'pay'],
      [t('sheetCancel'), { code: -2 }],
      [t('sheetFail'), fail],
    ],
    { code: -2 },
    extra,
  ).then((answer) => (typeof answer === 'symbol' ? { code: Number(code.value) } : answer));
}
