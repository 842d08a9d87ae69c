// What the examples of the documents take for granted: the game around them.
declare const client: import('@avalon-wx/sdk').Client;
declare const GameGlobal: { [name: string]: any };
declare const wx: { createCanvas(): any };
declare const console: { log(...values: unknown[]): void };
declare const rankingNode: CocosNode;
declare const fakeServer: import('@avalon-wx/wx-stand-in').Transport;
interface CocosNode {
  getComponent(name: string): {
    getBoundingBoxToWorld(): { x: number; y: number; width: number; height: number };
  };
}
declare function requestAnimationFrame(callback: () => void): number;
declare function showMessage(text: string): void;
declare function grant(items: import('@avalon-wx/sdk').Item[]): void;
declare function currentLevel(): number;
declare function openLevel(level: number): void;
declare function onSceneClosed(run: () => void): void;
declare function drawEveryFrame(canvas: object, x: number, y: number, width: number, height: number): void;
