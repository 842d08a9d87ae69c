/** What the service has: orders with their history, jobs, pushes and events, as they change. */
import { button, el } from './dom.js';
import { JOB_SOURCES, type Live, type LiveJob, type LiveOrder } from './live.js';
import type { FollowedJob, Stage } from './stage.js';
import { t, type TextKey } from './texts.js';

const MAX_FOLLOWED = 10;

interface Detail {
  readonly history: readonly { readonly status: string; readonly cause: string; readonly at: string }[];
}

export class ServiceView {
  readonly element: HTMLElement;
  private readonly orders = el('ul', { data: { list: 'live-orders' } });
  private readonly jobs = el('ul', { data: { list: 'live-jobs' } });
  private readonly followed = el('ul', { data: { list: 'followed-jobs' } });
  private readonly events = el('ul', { data: { list: 'live-events' } });
  private readonly pushes = el('ul', { data: { list: 'live-pushes' } });
  private readonly callbacks = el('ul', { data: { list: 'live-callbacks' } });
  private readonly known = new Map<string, LiveJob[]>();

  constructor(
    private readonly stage: Stage,
    live: Live,
    private readonly fail: (error: Error) => void,
  ) {
    const lists: readonly (readonly [TextKey, HTMLElement])[] = [
      ['ordersHistory', this.orders],
      ['jobs', this.jobs],
      ['followedJobs', this.followed],
      ['callbacks', this.callbacks],
      ['pushes', this.pushes],
      ['eventsArriving', this.events],
    ];
    this.element = el(
      'div',
      { className: 'phones' },
      ...lists.map(([title, list]) => el('section', { className: 'phone' }, el('h3', {}, t(title)), list)),
    );
    live.on('orders', ({ orders }) => void this.showOrders(orders));
    live.on('events', ({ events }) =>
      this.events.replaceChildren(
        ...events.map(({ eventName, count }) =>
          el('li', { data: { event: eventName } }, `${eventName} × ${count}`),
        ),
      ),
    );
    live.on('pushes', ({ pushes }) =>
      this.pushes.replaceChildren(
        ...pushes.map(({ id, event, status }) =>
          el(
            'li',
            { data: { push: id } },
            `${event}: ${status} `,
            this.action(t('replay'), `replay-${id}`, () => stage.admin('POST', `/pushes/${id}/replay`)),
          ),
        ),
      ),
    );
    live.on('callbacks', ({ callbacks }) =>
      this.callbacks.replaceChildren(
        ...callbacks.slice(0, 10).map(({ id, outTradeNo, status }) =>
          el(
            'li',
            { data: { callback: id } },
            `${short(outTradeNo)}: ${status} `,
            this.action(t('again'), `repeat-${id}`, () =>
              stage.sim('POST', `/pay/callbacks/${id}/repeat`, {}),
            ),
          ),
        ),
      ),
    );
    for (const source of JOB_SOURCES) {
      live.on(source, ({ jobs }) => {
        this.known.set(source, [...jobs]);
        this.showJobs();
      });
    }
  }

  /** Shows a job that a phone waits for. */
  follow(job: FollowedJob): void {
    const text = `${job.kind}: ${job.status}`;
    const shown = this.followed.querySelector(`[data-job="${job.jobId}"]`);
    if (shown) shown.append(` → ${job.status}`);
    else this.followed.prepend(el('li', { data: { job: job.jobId } }, text));
    while (this.followed.childElementCount > MAX_FOLLOWED) this.followed.lastElementChild?.remove();
  }

  private async showOrders(orders: readonly LiveOrder[]): Promise<void> {
    const details = await Promise.all(
      orders.slice(0, 8).map(async (order) => {
        const { history } = (await this.stage.admin('GET', `/orders/${order._id}`)) as unknown as Detail;
        return { order, history };
      }),
    ).catch(() => []);
    this.orders.replaceChildren(
      ...details.map(({ order, history }) =>
        el(
          'li',
          { data: { liveOrder: order._id } },
          `${short(order._id)} ${order.productId}: ${order.status}`,
          el(
            'ol',
            {},
            ...history.map(({ status, cause, at }) =>
              el('li', {}, `${at.slice(11, 19)} ${status} (${cause})`),
            ),
          ),
        ),
      ),
    );
  }

  private showJobs(): void {
    const jobs = JOB_SOURCES.flatMap((source) => this.known.get(source) ?? []);
    this.jobs.replaceChildren(
      ...jobs
        .slice(0, 20)
        .map(({ jobId, queue, kind, status, attempts }) =>
          el('li', { data: { liveJob: jobId } }, `${queue}/${kind}: ${status} (${attempts})`),
        ),
    );
  }

  private action(label: string, name: string, run: () => Promise<unknown>): HTMLButtonElement {
    return button(label, name, () => run().catch(this.fail));
  }
}

function short(id: string): string {
  return id.slice(-6);
}
