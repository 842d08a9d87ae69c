/** An open data context in Node: its own `vm` context, drawing with a canvas library such as `@napi-rs/canvas`. */
import { createContext, runInContext } from 'node:vm';
import type { Realm, RealmGlobals, StandInCanvas } from '../src/index.js';

export interface NodeRealmOptions {
  /** JavaScript of the context's `index.js`; it may use `module`, `exports`, `GameGlobal` and `wx`. */
  readonly source: string;
  createCanvas(width: number, height: number): StandInCanvas;
  createImage(): object;
}

/** Returns a function that creates a realm for each start of the game. */
export function nodeRealm({ source, createCanvas, createImage }: NodeRealmOptions): () => Realm {
  return () => ({
    drawing: { createCanvas, createImage },
    start(globals: RealmGlobals) {
      const module = { exports: {} };
      const sandbox: Record<string, unknown> = { ...globals, module, exports: module.exports, console };
      sandbox['GameGlobal'] = sandbox;
      runInContext(source, createContext(sandbox));
    },
  });
}

/** Runs a script as an engine would: in a realm with these globals, without those of Node. */
export function runScript(source: string, globals: Record<string, unknown>): Record<string, unknown> {
  const module = { exports: {} };
  const sandbox: Record<string, unknown> = { ...globals, module, exports: module.exports };
  sandbox['GameGlobal'] = sandbox;
  runInContext(source, createContext(sandbox));
  return module.exports;
}
