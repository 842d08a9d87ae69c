// Has the tests of the SDK run on the bundle that is shipped, whose properties were renamed: `node --import` this.
import { register } from 'node:module';

if (import.meta.url.endsWith('?hooks') === false) register(`${import.meta.url}?hooks`);

const BUNDLE = new URL('../packages/sdk/dist/avalon.js', import.meta.url).href;

export async function resolve(specifier, context, next) {
    const resolved = await next(specifier, context);
    if (!resolved.url.endsWith('/packages/sdk/build/src/index.js')) return resolved;
    return { ...resolved, url: BUNDLE, format: 'module' };
}
