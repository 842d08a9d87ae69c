/** Queries of cards: `a=1&b=2`. The game's own pairs stay; the service's are appended. */
import { isString } from '../base/values.js';

/** Joins two queries. */
export function joinQueries(own: string | undefined, added: string): string {
  const trimmed = (own || '').replace(/^[?&]+|&+$/g, '');
  return trimmed ? `${trimmed}&${added}` : added;
}

/** Returns a value of an entry's query, if it looks like one of the service's. */
export function token(
  query: { readonly [key: string]: unknown } | undefined,
  key: 'shareId' | 'inviteCode',
): string | undefined {
  const value = query && query[key];
  return isString(value) && /^[\w-]{1,64}$/.test(value) ? value : undefined;
}
