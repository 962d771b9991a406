/**
 * Node 20 lacks `Promise.withResolvers`, which libp2p 3 calls at import time. This module must be the first import of
 * every entry point (and of `p2p/`); importing it twice is harmless.
 */
interface WithResolvers<T> {
  promise: Promise<T>;
  resolve: (value: T | PromiseLike<T>) => void;
  reject: (reason?: unknown) => void;
}

const constructor = Promise as unknown as { withResolvers?: <T>() => WithResolvers<T> };
constructor.withResolvers ??= <T>(): WithResolvers<T> => {
  let resolve!: WithResolvers<T>['resolve'];
  let reject!: WithResolvers<T>['reject'];
  const promise = new Promise<T>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  return { promise, resolve, reject };
};

export {};
