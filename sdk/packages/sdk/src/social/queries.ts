/** Queries of cards: `a=1&b=2`. The game's own pairs stay; the service's are appended. */

/** The keys that the service puts into the query of a share. */
export const SHARE_ID = 'shareId';
export const INVITE_CODE = 'inviteCode';

/** Joins two queries. */
export function joinQueries(own: string | undefined, added: string): string {
  const trimmed = (own || '').replace(/^[?&]+|&+$/g, '');
  return trimmed === '' ? added : `${trimmed}&${added}`;
}

/** Returns a value of an entry's query, if it looks like one of ours. */
export function token(
  query: { readonly [key: string]: unknown } | undefined,
  key: string,
): string | undefined {
  const value = query && query[key];
  return typeof value === 'string' && /^[\w-]{1,64}$/.test(value) ? value : undefined;
}
