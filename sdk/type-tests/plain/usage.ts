// Right use compiles and wrong use does not, without any typings of WeChat, browsers or Node.
import {
  AvalonError,
  composeClient,
  createBasicClient,
  createCancel,
  createClient,
  payments,
  social,
  type Client,
  type PayResult,
} from '@avalon-wx/sdk';
import { start } from '@avalon-wx/open-data-context';

const client: Client = createClient({ baseUrl: 'https://wx.example.com', autoTrack: { error: false } });
const basic = createBasicClient({ baseUrl: 'https://wx.example.com' });
const composed = composeClient({ baseUrl: 'https://wx.example.com' }, payments, social);

export async function right(): Promise<string> {
  const user = await client.login({ byPlayer: true });
  const { token, cancel } = createCancel();
  const items = await client.payments.inventory({ cancel: token });
  cancel();
  const result: PayResult = await client.payments.pay('gems-60', 1, { wait: 1000 });
  switch (result.status) {
    case 'paid':
      return result.order.productId;
    case 'refused':
      return `${result.code} ${result.wxCode ?? 0}`;
    case 'cancelled':
    case 'pending':
      return result.orderId;
  }
  return `${user.nickname ?? user._id} ${items.length}`;
}

export async function parts(): Promise<string> {
  await composed.login();
  const { balance } = await composed.coins.balance();
  const card = await composed.social.share('level');
  return `${balance} ${card?.shareId ?? ''} ${(await composed.payments.products()).length}`;
}

export function errors(error: unknown): boolean {
  return error instanceof AvalonError && error.retryable;
}

export function wrong(): void {
  // @ts-expect-error the origin is required
  createClient({});
  // @ts-expect-error an unknown option
  createClient({ baseUrl: 'https://wx.example.com', baseURL: '' });
  // @ts-expect-error an unknown event
  createClient({ baseUrl: 'https://wx.example.com', autoTrack: { lunch: true } });
  // @ts-expect-error a quantity is a number
  void client.payments.pay('gems-60', '1');
  // @ts-expect-error the user is not for writing
  client.user = undefined;
  // @ts-expect-error the basic client has no social features
  void basic.social;
  // @ts-expect-error only the named parts are there
  void composed.events;
  // @ts-expect-error only parts of this package compose a client
  composeClient({ baseUrl: 'https://wx.example.com' }, { payments });
  // @ts-expect-error a status that does not exist
  client.events.setTrackStatus('off');
  // @ts-expect-error an order's state is not any text
  void client.payments.orders({ status: 'gone' });
  // @ts-expect-error the key is required
  client.friends.show({ x: 0, y: 0, width: 1, height: 1 }, {});
  // @ts-expect-error only `me`
  void client.scores.leaderboard('speed', { around: 'you' });
  void client.payments.pay('gems-60', 1).then((result) => {
    // @ts-expect-error the order is known only of a paid purchase
    return result.order;
  });
  start();
}
