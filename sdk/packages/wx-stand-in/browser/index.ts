/** An open data context in a browser: a hidden frame of the same origin with globals of its own. */
import type { Realm, RealmGlobals, StandInCanvas } from '../src/index.js';

export interface FrameRealmOptions {
  /** JavaScript of the context's `index.js`, in which `GameGlobal` is the frame's window. */
  readonly source: string;
  readonly document: Document;
}

/** Returns a function that creates a realm for each start of the game. */
export function frameRealm({ source, document }: FrameRealmOptions): () => Realm {
  return () => ({
    drawing: {
      createCanvas(width, height) {
        const canvas = document.createElement('canvas');
        canvas.width = width;
        canvas.height = height;
        return canvas as StandInCanvas;
      },
      createImage: () => new Image(),
    },
    start(globals: RealmGlobals) {
      const frame = document.createElement('iframe');
      frame.hidden = true;
      frame.title = 'open data context';
      document.body.append(frame);
      const realm = frame.contentWindow as unknown as Record<string, unknown> & { document: Document };
      realm['wx'] = globals.wx;
      realm['GameGlobal'] = realm;
      const script = realm.document.createElement('script');
      script.textContent = source;
      realm.document.head.append(script);
    },
  });
}
