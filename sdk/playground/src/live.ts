/** What `avalon dev` reports while the page is open, as server-sent events. */
import { PLAYGROUND } from './stage.js';

export interface LiveOrder {
  readonly _id: string;
  readonly productId: string;
  readonly status: string;
}

export interface LivePush {
  readonly id: string;
  readonly event: string;
  readonly status: string;
}

export interface LiveJob {
  readonly jobId: string;
  readonly queue: string;
  readonly kind: string;
  readonly status: string;
  readonly attempts: number;
}

export interface LiveCallback {
  readonly id: string;
  readonly outTradeNo: string;
  readonly status: string;
}

/** The latest state of each source. */
export interface Snapshots {
  readonly orders: { readonly orders: readonly LiveOrder[] };
  readonly pushes: { readonly pushes: readonly LivePush[] };
  readonly events: { readonly events: readonly { readonly eventName: string; readonly count: number }[] };
  readonly callbacks: { readonly callbacks: readonly LiveCallback[] };
  readonly 'jobs-queued': { readonly jobs: readonly LiveJob[] };
  readonly 'jobs-running': { readonly jobs: readonly LiveJob[] };
  readonly 'jobs-retrying': { readonly jobs: readonly LiveJob[] };
  readonly 'jobs-dead': { readonly jobs: readonly LiveJob[] };
}

export const JOB_SOURCES = ['jobs-queued', 'jobs-running', 'jobs-retrying', 'jobs-dead'] as const;

/** One stream for the whole page. */
export class Live {
  private readonly source = new EventSource(`${PLAYGROUND}/live`);

  on<K extends keyof Snapshots>(name: K, listener: (snapshot: Snapshots[K]) => void): void {
    this.source.addEventListener(name, (event: MessageEvent<string>) =>
      listener(JSON.parse(event.data) as Snapshots[K]),
    );
  }
}
