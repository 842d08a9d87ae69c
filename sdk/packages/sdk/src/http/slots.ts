/**
 * The SDK's share of WeChat's ten connections: four, of which one belongs to events, so that neither starves the
 * other, and at most two wait for jobs of the service. Within the game's share, urgent requests go first.
 */
import { AvalonError } from '../base/errors.js';

export type Priority = 'urgent' | 'normal' | 'event' | 'poll';

const GAME_SLOTS = 3;
const EVENT_SLOTS = 1;
const POLL_SLOTS = 2;

/** @internal */
interface Waiting {
  readonly priority: Priority;
  start(): void;
}

/** Limits how many requests run at the same time. */
export class Slots {
  private game = 0;
  private polls = 0;
  private events = 0;
  private queue: Waiting[] = [];

  /** Runs `work` as soon as a slot is free. A call that is dropped before it starts frees nothing. */
  run<T>(priority: Priority, work: () => Promise<T>, dropped: () => boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const start = (): void => {
        if (dropped()) {
          this.release(priority);
          return reject(new AvalonError('CANCELLED'));
        }
        work().then(
          (value) => {
            this.release(priority);
            resolve(value);
          },
          (error) => {
            this.release(priority);
            reject(error);
          },
        );
      };
      const entry = { priority, start };
      if (priority === 'urgent') this.queue.unshift(entry);
      else this.queue.push(entry);
      this.next();
    });
  }

  private release(priority: Priority): void {
    this.count(priority, -1);
    this.next();
  }

  private next(): void {
    for (let index = 0; index < this.queue.length;) {
      const waiting = this.queue[index] as Waiting;
      if (this.free(waiting.priority)) {
        this.queue.splice(index, 1);
        this.count(waiting.priority, 1);
        waiting.start();
        index = 0;
      } else {
        index++;
      }
    }
  }

  private free(priority: Priority): boolean {
    if (priority === 'event') return this.events < EVENT_SLOTS;
    if (this.game >= GAME_SLOTS) return false;
    return priority !== 'poll' || this.polls < POLL_SLOTS;
  }

  private count(priority: Priority, by: number): void {
    if (priority === 'event') this.events += by;
    else this.game += by;
    if (priority === 'poll') this.polls += by;
  }
}
