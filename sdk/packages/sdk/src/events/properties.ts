/** Properties that every event carries: stored ones, and those of a function. */
import { warn } from '../base/emitter.js';
import { isRecord, type Store } from '../base/store.js';

/** Parameters of an event: JSON values. */
export type EventParams = { readonly [name: string]: unknown };

const KEY = 'super';

export class Properties {
  private stored: { [name: string]: unknown };
  private dynamic: (() => EventParams) | undefined;

  constructor(private readonly store: Store) {
    this.stored = Object.assign({}, store.read(KEY, isRecord));
  }

  set(properties: EventParams): void {
    Object.assign(this.stored, properties);
    this.store.write(KEY, this.stored);
  }

  unset(name: string): void {
    delete this.stored[name];
    this.store.write(KEY, this.stored);
  }

  clear(): void {
    this.stored = {};
    this.store.remove(KEY);
  }

  setDynamic(read: (() => EventParams) | undefined): void {
    this.dynamic = read;
  }

  /** Merges: the event's own parameters win over dynamic ones, those over stored ones. */
  merge(params: EventParams | undefined): EventParams {
    let dynamic: EventParams | undefined;
    try {
      dynamic = this.dynamic && this.dynamic();
    } catch (error) {
      warn('dynamic properties', error);
    }
    return Object.assign({}, this.stored, dynamic, params);
  }
}
