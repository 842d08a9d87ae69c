/** Text that fits. */
import type { Context2d } from './wx.js';

const ELLIPSIS = '…';
const MAX_CACHED = 500;
const cache = new Map<string, string>();

/** Cuts the text so that it is at most `width` wide in the current font, with an ellipsis. */
export function fit(ctx: Context2d, text: string, width: number): string {
  const key = `${ctx.font}|${Math.round(width)}|${text}`;
  let fitted = cache.get(key);
  if (fitted === undefined) {
    fitted = cut(ctx, text, width);
    if (cache.size >= MAX_CACHED) cache.clear();
    cache.set(key, fitted);
  }
  return fitted;
}

function cut(ctx: Context2d, text: string, width: number): string {
  if (ctx.measureText(text).width <= width) return text;
  // Characters, not units: a name may end in a pair.
  const characters = Array.from(text);
  let low = 0;
  let high = characters.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const candidate = characters.slice(0, middle).join('') + ELLIPSIS;
    if (ctx.measureText(candidate).width <= width) low = middle;
    else high = middle - 1;
  }
  return characters.slice(0, low).join('') + ELLIPSIS;
}
