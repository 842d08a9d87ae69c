/** Properties that every event carries: stored ones, and those of a function. */
import { warn } from '../base/emitter.js';
import type { Store } from '../base/store.js';
import { isRecord } from '../base/values.js';

/** Parameters of an event: JSON values. */
export type EventParams = { readonly [name: string]: unknown };

const KEY = 'super';

/** @internal */
export interface Properties {
  change(properties: EventParams): void;
  unset(name: string): void;
  clear(): void;
  setDynamic(read: (() => EventParams) | undefined): void;
  /** Merges: the event's own parameters win over dynamic ones, those over stored ones. */
  merge(params: EventParams | undefined): EventParams;
}

export function createProperties(store: Store): Properties {
  let stored: { [name: string]: unknown } = { ...store.read(KEY, isRecord) };
  let dynamic: (() => EventParams) | undefined;
  return {
    change(properties) {
      store.write(KEY, Object.assign(stored, properties));
    },
    unset(name) {
      delete stored[name];
      store.write(KEY, stored);
    },
    clear() {
      stored = {};
      store.erase(KEY);
    },
    setDynamic(read) {
      dynamic = read;
    },
    merge(params) {
      let added: EventParams | undefined;
      try {
        added = dynamic && dynamic();
      } catch (error) {
        warn('dynamic properties', error);
      }
      return { ...stored, ...added, ...params };
    },
  };
}
