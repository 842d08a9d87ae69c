/** Play sessions: a new one begins at the start and after 30 s in the background. */
import type { Host } from '../base/host.js';
import type { Ids } from '../base/ids.js';

const NEW_AFTER_MS = 30000;

export class PlaySession {
  id: string;
  private shownAt: number;
  private hiddenAt: number | undefined;

  constructor(
    private readonly host: Host,
    private readonly ids: Ids,
  ) {
    this.id = ids.next();
    this.shownAt = host.now();
  }

  /** Seconds in the foreground since the game was shown. */
  get foregroundSeconds(): number {
    return Math.max(0, (this.host.now() - this.shownAt) / 1000);
  }

  hide(): void {
    this.hiddenAt = this.host.now();
  }

  show(): void {
    const now = this.host.now();
    if (this.hiddenAt !== undefined && now - this.hiddenAt > NEW_AFTER_MS) this.id = this.ids.next();
    this.shownAt = now;
    this.hiddenAt = undefined;
  }
}
