/** Avatars by address: loaded once, the least recently used dropped, a placeholder until they are there. */
import type { ContextImage, ContextWx } from './wx.js';

const MAX_IMAGES = 120;

export class Images {
  /** In order of use. A failed image stays as undefined, so that it is not asked for again. */
  private readonly images = new Map<string, { image: ContextImage; ready: boolean }>();

  constructor(
    private readonly wx: ContextWx,
    private readonly changed: () => void,
  ) {}

  /** Returns the image if it is loaded; begins to load it otherwise. */
  get(url: string): ContextImage | undefined {
    if (url === '') return undefined;
    let entry = this.images.get(url);
    if (entry) {
      this.images.delete(url);
    } else {
      entry = this.load(url);
      const oldest = this.images.keys().next().value;
      if (this.images.size >= MAX_IMAGES && oldest !== undefined) this.images.delete(oldest);
    }
    this.images.set(url, entry);
    return entry.ready ? entry.image : undefined;
  }

  private load(url: string): { image: ContextImage; ready: boolean } {
    const entry = { image: this.wx.createImage() as ContextImage, ready: false };
    entry.image.onload = () => {
      entry.ready = true;
      this.changed();
    };
    entry.image.onerror = () => undefined;
    entry.image.src = url;
    return entry;
  }
}
