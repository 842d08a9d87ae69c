/** What scenarios are made of. */
import type { PhoneView } from './phone-view.js';
import type { Stage } from './stage.js';
import type { TextKey } from './texts.js';

export interface Cast {
  readonly stage: Stage;
  readonly alice: PhoneView;
  readonly bob: PhoneView;
  /** A second phone of Alice. */
  readonly tablet: PhoneView;
  /** Adds the phone of a new player. */
  guest(): PhoneView;
}

export interface Scenario {
  readonly id: string;
  readonly title: TextKey;
  /** A route of the service without which the scenario is not shown. */
  readonly needs?: string;
  run(cast: Cast): Promise<void>;
}

export function expect(fact: boolean, text: string): void {
  if (!fact) throw new Error(text);
}

export async function within(ms: number, text: string, ask: () => Promise<boolean> | boolean): Promise<void> {
  for (
    const end = Date.now() + ms;
    !(await ask());
    await new Promise((resolve) => setTimeout(resolve, 100))
  ) {
    expect(Date.now() < end, text);
  }
}

export async function quantity({ client }: PhoneView): Promise<number> {
  const items = await client.payments.inventory();
  return items.find(({ productId }) => productId === 'gems-60')?.quantity ?? 0;
}

/** Buys and returns the id of the order. */
export async function buy(phone: PhoneView, status: string): Promise<string> {
  phone.sheet = 'pay';
  const result = await phone.buy('gems-60');
  phone.sheet = undefined;
  expect(result === status, `the purchase is ${result}`);
  return phone.lastOrder?._id ?? '';
}

export async function callbackOf(stage: Stage, order: string): Promise<string> {
  const { callbacks } = (await stage.sim('GET', `/pay/callbacks?outTradeNo=${order}`)) as {
    callbacks: { id: string }[];
  };
  return callbacks[0]?.id ?? '';
}
