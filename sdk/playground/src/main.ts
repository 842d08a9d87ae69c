/** Builds the page. `#lang=zh` selects the language, `#scenario=ID` runs a scenario. */
import { button, choice, el } from './dom.js';
import { RequestLog } from './log.js';
import { PhoneView } from './phone-view.js';
import { SCENARIOS, type Cast, type Scenario } from './scenarios.js';
import { PLAYGROUND, Stage } from './stage.js';
import { isChinese, setLanguage, t } from './texts.js';

const parameters = new URLSearchParams(location.hash.slice(1));
setLanguage(parameters.get('lang') ?? navigator.language);
document.documentElement.lang = isChinese() ? 'zh' : 'en';
document.title = t('title');

const source = await (await fetch(`${PLAYGROUND}/open-data-context.js`)).text();
const stage = new Stage();
const log = new RequestLog();
stage.onRequest = (logged) => log.add(logged);

const names = ['alice', 'bob'];
const view = (name: string, player: string): PhoneView =>
  new PhoneView(name, stage.addPhone(player, source), () => names.filter((other) => other !== player));
const cast: Cast = {
  stage,
  alice: view('alice', 'alice'),
  bob: view('bob', 'bob'),
  tablet: view('alice-2', 'alice'),
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

function callbacks(): HTMLElement {
  const order = (): string => cast.alice.lastOrder?._id ?? cast.bob.lastOrder?._id ?? '';
  const act = (run: () => Promise<unknown>) => () =>
    run().catch((error: Error) => (result.textContent = error.message));
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

document.body.append(
  el('header', {}, el('h1', {}, t('title')), el('p', {}, t('intro')), otherLanguage()),
  el(
    'main',
    {},
    el('h2', {}, t('scenarios')),
    el(
      'div',
      { className: 'row' },
      ...SCENARIOS.map((scenario) =>
        button(t(scenario.title), `scenario-${scenario.id}`, () => run(scenario)),
      ),
    ),
    result,
    el('h2', {}, t('callbacks')),
    callbacks(),
    el('h2', {}, t('phones')),
    el('div', { className: 'phones' }, cast.alice.element, cast.bob.element, cast.tablet.element),
    el('h2', {}, t('requests')),
    log.element,
  ),
);
// For tests and the console.
Object.assign(window, { playground: cast });
document.body.dataset['ready'] = 'yes';

const wanted = SCENARIOS.find(({ id }) => id === parameters.get('scenario'));
if (wanted) await run(wanted);
