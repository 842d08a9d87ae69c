/** How the simulator delivers message pushes, and pushes that an operator of WeChat would cause. */
import { button, choice, el } from './dom.js';
import type { Stage } from './stage.js';
import { t } from './texts.js';

/** The id of the pack's content in WeChat's console. */
const GIFT = 'pack-gems';

/** Returns the switches; `openid` names the player of the first phone. */
export function pushesView(
  stage: Stage,
  openid: () => Promise<string>,
  act: (run: () => Promise<unknown>) => () => void,
): HTMLElement {
  const settings = (changes: object) => stage.sim('PUT', '/vpay/push-settings', changes);
  const modes = [
    [t('normal'), { mode: 'normal', copies: 1, wrongMsgSignature: false, payEventSig: 'right' }],
    [t('hold'), { mode: 'hold' }],
    [t('drop'), { mode: 'drop' }],
    [t('threefold'), { mode: 'normal', copies: 3 }],
    [t('wrongSignature'), { mode: 'normal', wrongMsgSignature: true }],
    [t('wrongPaySignature'), { mode: 'normal', payEventSig: 'wrong' }],
  ] as const;
  return el(
    'div',
    { className: 'row' },
    choice(
      t('pushesMode'),
      'pushes',
      modes.map(([label]) => label),
      t('normal'),
      (mode) => act(() => settings(modes.find(([label]) => label === mode)?.[1] ?? {}))(),
    ),
    button(
      t('release'),
      'release-pushes',
      act(() => stage.sim('POST', '/vpay/pushes/release', {})),
    ),
    button(
      t('gift'),
      'gift',
      act(async () => gift(stage, await openid())),
    ),
    button(
      t('giveCoins'),
      'give-coins',
      act(async () =>
        stage.sim('POST', `/vpay/players/${await openid()}/coins`, { bought: 100, granted: 0 }),
      ),
    ),
  );
}

/** Sends a gift pack of WeChat's game centre to a player: two times sixty gems. */
export async function gift(stage: Stage, openid: string): Promise<string> {
  await stage.admin('PUT', `/gifts/${GIFT}`, { items: [{ productId: 'gems-60', quantity: 1 }] });
  const orderId = `playground-${Date.now()}`;
  await stage.sim('POST', '/vpay/pushes', {
    event: 'minigame_deliver_goods',
    openid,
    fields: {
      MiniGame: {
        OrderId: orderId,
        IsPreview: 0,
        ToUserOpenid: openid,
        Zone: 2001,
        GiftTypeId: 1,
        GiftId: 'gift-1',
        SendTime: Math.floor(Date.now() / 1000),
        GoodsList: [{ Id: GIFT, Num: 2 }],
      },
    },
  });
  return orderId;
}
