/** The API server's front where the program runs from its sources: a thread does not inherit the loader that understands them. */
import { Worker } from 'node:worker_threads';
import type { SpawnFront } from '../control/apiserver/front/front-thread.js';

const ENTRY = new URL('../control/apiserver/front/front-worker.ts', import.meta.url).href;
const LOADER = import.meta.resolve('tsx/esm/api');

export const frontFromSources: SpawnFront = (options) =>
  new Worker(`import('${LOADER}').then(({ register }) => { register(); return import('${ENTRY}'); })`, {
    ...options,
    eval: true,
  });
