// Part of the bundles: runs what was an async function.

/** Returns an async function of a generator: `yield` is its `await` (to-es2015.mjs). */
export function resumed(generator) {
  return (...values) =>
    new Promise((resolve, reject) => {
      const step = (method, sent) => {
        try {
          const { done, value } = iterator[method](sent);
          if (done) resolve(value);
          else Promise.resolve(value).then(next, fail);
        } catch (error) {
          reject(error);
        }
      };
      const next = (value) => step('next', value);
      const fail = (error) => step('throw', error);
      const iterator = generator(...values);
      next();
    });
}
