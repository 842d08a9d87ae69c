/** Builds the page. `#lang=zh` selects the language, `#scenario=ID` runs a scenario. */
import type { ShareCard, ShareTarget } from '@avalon-wx/wx-stand-in';
import { button, choice, el, toggle } from './dom.js';
import { Live } from './live.js';
import { RequestLog } from './log.js';
import { PhoneView } from './phone-view.js';
import { pushesView } from './pushes-view.js';
import type { Cast, Scenario } from './scenario.js';
import { SCENARIOS } from './scenarios.js';
import { ServiceView } from './service-view.js';
import { GROUP, PLAYGROUND, Stage } from './stage.js';
import { isChinese, setLanguage, t } from './texts.js';

const parameters = new URLSearchParams(location.hash.slice(1));
setLanguage(parameters.get('lang') ?? navigator.language);
document.documentElement.lang = isChinese() ? 'zh' : 'en';
document.title = t('title');

const { paths } = (await (await fetch('/openapi.json')).json()) as { paths: Record<string, unknown> };
const scenarios = SCENARIOS.filter(({ needs }) => needs === undefined || needs in paths);
const source = await (await fetch(`${PLAYGROUND}/open-data-context.js`)).text();
const stage = new Stage();
const log = new RequestLog();
stage.onRequest = (logged) => log.add(logged);

const names = ['alice', 'bob'];
stage.world.group(GROUP, names);
const phones: PhoneView[] = [];
const shelf = el('div', { className: 'phones' });
/** The latest card that another phone sent to the player or to the group. */
const inbox = (player: string): ShareCard | undefined =>
  phones
    .flatMap(({ phone }) => phone.sharing.cards)
    .filter(({ from, target }) => from !== player && ('group' in target || target.friend === player))
    .at(-1);
const view = (name: string, player: string): PhoneView => {
  const targets = (): readonly ShareTarget[] => [
    ...names.filter((other) => other !== player).map((friend) => ({ friend })),
    { group: GROUP },
  ];
  const added = new PhoneView(name, stage.addPhone(player, source), targets, () => inbox(player));
  added.onPanel = (results) =>
    stage.sim('POST', `/players/${stage.openid(player)}/subscriptions/panel`, { results });
  added.received = async () =>
    JSON.stringify((await stage.sim('GET', `/players/${stage.openid(player)}/subscriptions`))['sent']);
  phones.push(added);
  return added;
};
const cast: Cast = {
  stage,
  alice: view('alice', 'alice'),
  bob: view('bob', 'bob'),
  tablet: view('alice-2', 'alice'),
  guest: () => {
    const name = `guest-${Date.now()}`;
    const added = view(name, name);
    shelf.append(added.element);
    return added;
  },
};
const result = el('p', { id: 'result' });
result.setAttribute('role', 'status');

async function run(scenario: Scenario): Promise<void> {
  result.textContent = t('running');
  try {
    await scenario.run(cast);
    result.textContent = `${t(scenario.title)}: ${t('passed')}`;
    result.dataset['outcome'] = 'passed';
  } catch (error) {
    result.textContent = `${t(scenario.title)}: ${t('failed')} (${(error as Error).message})`;
    result.dataset['outcome'] = 'failed';
  }
}

function otherLanguage(): HTMLElement {
  const switcher = button(t('language'), 'language', () => {
    parameters.set('lang', isChinese() ? 'en' : 'zh');
    parameters.delete('scenario');
    location.hash = parameters.toString();
    location.reload();
  });
  switcher.lang = isChinese() ? 'en' : 'zh';
  return switcher;
}

const fail = (error: Error): void => {
  result.textContent = error.message;
};
/** WeChat's id of Alice, who signs in for it if she has not. */
const openidOfAlice = async (): Promise<string> => {
  await cast.alice.client.login({ byPlayer: true });
  return stage.openid('alice');
};
const act = (run: () => Promise<unknown>) => () => void run().catch(fail);

function callbacks(): HTMLElement {
  const order = (): string => cast.alice.lastOrder?._id ?? cast.bob.lastOrder?._id ?? '';
  const last = async (): Promise<string> => {
    const answer = (await stage.sim('GET', `/pay/callbacks?outTradeNo=${order()}`)) as {
      callbacks: { id: string }[];
    };
    return answer.callbacks[0]?.id ?? '';
  };
  const modes = [t('normal'), t('hold'), t('drop')];
  return el(
    'div',
    { className: 'row' },
    choice(t('callbacksMode'), 'callbacks', modes, t('normal'), (mode) =>
      act(() =>
        stage.sim('PUT', '/pay/callbacks', { mode: ['normal', 'hold', 'drop'][modes.indexOf(mode)] }),
      )(),
    ),
    button(
      t('release'),
      'release',
      act(() => stage.sim('POST', '/pay/callbacks/release', {})),
    ),
    button(
      t('repeat'),
      'repeat',
      act(async () => stage.sim('POST', `/pay/callbacks/${await last()}/repeat`, {})),
    ),
    button(
      t('forge'),
      'forge',
      act(() => stage.sim('POST', '/pay/callbacks/forge', { outTradeNo: order(), kind: 'amount' })),
    ),
    button(
      t('refund'),
      'refund',
      act(() => stage.admin('POST', `/orders/${order()}/refund`, { reason: 'playground' })),
    ),
  );
}

shelf.append(...phones.map(({ element }) => element));
const service = new ServiceView(stage, new Live(), fail);
stage.onJob = (job) => service.follow(job);

document.body.append(
  el('header', {}, el('h1', {}, t('title')), el('p', {}, t('intro')), otherLanguage()),
  el(
    'main',
    {},
    el('h2', {}, t('scenarios')),
    el(
      'div',
      { className: 'row' },
      ...scenarios.map((scenario) =>
        button(t(scenario.title), `scenario-${scenario.id}`, () => run(scenario)),
      ),
    ),
    result,
    el('h2', {}, t('callbacks')),
    callbacks(),
    el('h2', {}, t('pushDelivery')),
    pushesView(stage, openidOfAlice, act),
    el('h2', {}, t('phones')),
    toggle(t('answerLater'), 'later', (on) => (stage.answerLater = on)),
    shelf,
    el('h2', {}, t('service')),
    service.element,
    el('h2', {}, t('requests')),
    log.element,
  ),
);
// For tests and the console.
Object.assign(window, { playground: cast });
document.body.dataset['ready'] = 'yes';

const wanted = scenarios.find(({ id }) => id === parameters.get('scenario'));
if (wanted) await run(wanted);
