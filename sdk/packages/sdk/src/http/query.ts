/** Returns `?a=1&b=2` of the texts and numbers among the values, or an empty text. */
export function queryOf(values: object): string {
  const pairs = Object.keys(values)
    .map((name) => [name, (values as { readonly [name: string]: unknown })[name]])
    .filter(([, value]) => /^(string|number)$/.test(typeof value))
    .map(([name, value]) => `${name}=${encodeURIComponent(value as string)}`);
  return pairs.length ? `?${pairs.join('&')}` : '';
}
