/**
 * Fuzzing with fast-check: inputs are grown from valid ones by mutation, and from nothing. The seed is fixed, so that a run can be
 * repeated; `FUZZ_SEED` and `FUZZ_RUNS` widen the search, and what it finds goes into the `examples` of the test.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ApiError } from '../../../src/api/errors.js';

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_121);
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 400);
/** What one input may take at most, in milliseconds: a hang, not slowness, on a busy machine. */
const PATIENCE_MS = 2_000;

/** Runs a property over generated inputs and over all that once failed. */
export function fuzz<T>(arbitrary: fc.Arbitrary<T>, property: (input: T) => void, examples: readonly T[] = []): void {
  fc.assert(
    fc.property(arbitrary, (input) => {
      const beganMs = performance.now();
      property(input);
      const tookMs = performance.now() - beganMs;
      assert.ok(tookMs < PATIENCE_MS, `took ${tookMs.toFixed(0)} ms`);
    }),
    { seed: SEED, numRuns: RUNS, examples: examples.map((example): [T] => [example]) },
  );
}

export async function fuzzAsync<T>(
  arbitrary: fc.Arbitrary<T>,
  property: (input: T) => Promise<void>,
  runs = RUNS,
): Promise<void> {
  await fc.assert(fc.asyncProperty(arbitrary, property), { seed: SEED, numRuns: runs });
}

/** Input that is refused must be refused as a client's mistake. */
export function refusesOrReturns(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    assert.ok(error.code >= 400 && error.code < 500, `${error.code} ${error.message}`);
    assert.ok(error.message.length < 20_000, 'the message grows faster than the input');
  }
}

type Mutation = (bytes: Uint8Array) => Uint8Array;

const mutation: fc.Arbitrary<Mutation> = fc
  .tuple(fc.nat(6), fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(255), fc.nat(64))
  .map(([kind, where, byte, length]): Mutation => (bytes) => {
    const at = Math.floor(where * bytes.length);
    const piece = bytes.subarray(at, at + length);
    switch (kind) {
      case 0:
        return Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at + 1)]);
      case 1:
        return Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at)]);
      case 2:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
      case 3:
        return Buffer.concat([bytes.subarray(0, at), piece, piece, piece, bytes.subarray(at)]);
      case 4:
        return bytes.subarray(0, at);
      case 5:
        return Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from('[{":,\\"\u{0}-9e999&*!'.slice(byte % 16)),
          bytes.subarray(at),
        ]);
      default:
        return Buffer.concat([bytes, bytes]);
    }
  });

/** Valid inputs with a few mutations each. */
export const mutated = (seeds: readonly (Uint8Array | string)[]): fc.Arbitrary<Buffer> =>
  fc
    .tuple(fc.constantFrom(...seeds), fc.array(mutation, { minLength: 0, maxLength: 5 }))
    .map(([seed, mutations]) =>
      Buffer.from(mutations.reduce<Uint8Array>((bytes, mutate) => mutate(bytes), Buffer.from(seed))),
    );
