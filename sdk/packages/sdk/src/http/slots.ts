/**
 * The SDK's share of WeChat's ten connections: four, of which one belongs to events, so that neither starves the
 * other, and at most two wait for jobs of the service. Within the game's share, urgent requests go first.
 */
import { AvalonError } from '../base/errors.js';

export type Priority = 'urgent' | 'normal' | 'event' | 'poll';

const GAME_SLOTS = 3;
const POLL_SLOTS = 2;

/** Runs `work` as soon as a slot is free. A call that is dropped before it starts frees nothing. */
export type Slots = <T>(priority: Priority, work: () => Promise<T>, dropped: () => boolean) => Promise<T>;

/** Limits how many requests run at the same time. */
export function createSlots(): Slots {
  let game = 0;
  let polls = 0;
  let events = 0;
  const queue: { readonly free: () => boolean; readonly start: () => void }[] = [];
  const next = (): void => {
    for (let index = 0; index < queue.length; index++) {
      const { free, start } = queue[index] as (typeof queue)[0];
      if (free()) {
        queue.splice(index, 1);
        start();
        index = -1;
      }
    }
  };
  return (priority, work, dropped) =>
    new Promise((resolve, reject) => {
      const isEvent = priority === 'event';
      const isPoll = priority === 'poll';
      const count = (by: number): void => {
        if (isEvent) events += by;
        else game += by;
        if (isPoll) polls += by;
      };
      const release = (): void => {
        count(-1);
        next();
      };
      const waiting = {
        free: () => (isEvent ? !events : game < GAME_SLOTS && !(isPoll && polls >= POLL_SLOTS)),
        start() {
          count(1);
          if (dropped()) {
            release();
            return reject(new AvalonError('CANCELLED'));
          }
          const done = work();
          done.then(release, release);
          done.then(resolve, reject);
        },
      };
      if (priority === 'urgent') queue.unshift(waiting);
      else queue.push(waiting);
      next();
    });
}
