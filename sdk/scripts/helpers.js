// Helpers of code that tsc compiles to ES2015 (`importHelpers`), for the bundles.

/** Runs an async function, which the compiler turned into a generator. */
export function __awaiter(self, args, _promise, generator) {
  return new Promise((resolve, reject) => {
    const step = (method, value) => {
      try {
        const result = iterator[method](value);
        if (result.done) resolve(result.value);
        else Promise.resolve(result.value).then(next, fail);
      } catch (error) {
        reject(error);
      }
    };
    const next = (value) => step('next', value);
    const fail = (error) => step('throw', error);
    const iterator = generator.apply(self, args || []);
    next();
  });
}

/** `{ names…, ...rest } = source`. */
export function __rest(source, names) {
  const rest = Object.assign({}, source);
  for (const name of names) delete rest[name];
  return rest;
}
