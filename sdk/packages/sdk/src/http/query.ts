/** Returns `?a=1&b=2` of the texts and numbers among the values, or an empty text. */
export function queryOf(values: { readonly [name: string]: unknown }): string {
  const pairs = Object.keys(values)
    .filter((name) => ['string', 'number'].indexOf(typeof values[name]) >= 0)
    .map((name) => `${name}=${encodeURIComponent(String(values[name]))}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
