/** Assertions that rows share. */
import assert from 'node:assert/strict';
import { eventually as harnessEventually } from '../../e2e/harness/wait.js';
import { Refusal, type Json } from './http.js';

export interface Refused {
  readonly status: number;
  readonly reason?: string;
  readonly message?: RegExp;
}

/** The request is refused so; resolves with the `Status` object. */
export async function refused(request: Promise<unknown>, expected: Refused): Promise<Json> {
  let refusal: unknown;
  try {
    await request;
  } catch (error) {
    refusal = error;
  }
  if (refusal === undefined) assert.fail(`was accepted; expected ${expected.status} ${expected.reason ?? ''}`);
  if (!(refusal instanceof Refusal)) throw refusal;
  const { status, body } = refusal.answer;
  assert.equal(status, expected.status, refusal.message);
  assert.equal(body?.kind, 'Status', refusal.answer.text);
  assert.equal(body.status, 'Failure');
  assert.equal(body.code, expected.status);
  if (expected.reason !== undefined) assert.equal(body.reason, expected.reason, refusal.message);
  if (expected.message) assert.match(body.message, expected.message);
  return body;
}

/** Everything in `part` is in `whole`; objects may have more, lists not. */
export function includes(whole: Json, part: Json, path = '$'): void {
  if (Array.isArray(part)) {
    assert.ok(Array.isArray(whole), `${path}: ${JSON.stringify(whole)} is no list`);
    assert.equal(whole.length, part.length, `${path}: ${JSON.stringify(whole)} against ${JSON.stringify(part)}`);
    for (const [i, item] of part.entries()) includes(whole[i], item, `${path}[${i}]`);
  } else if (part !== null && typeof part === 'object') {
    assert.ok(whole !== null && typeof whole === 'object', `${path}: ${JSON.stringify(whole)} is no object`);
    for (const [key, value] of Object.entries(part)) includes(whole[key], value, `${path}.${key}`);
  } else {
    assert.equal(whole, part, `${path}: ${JSON.stringify(whole)}, not ${JSON.stringify(part)}`);
  }
}

/** Resolves with the first value of `probe` that is not false or undefined. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | false | undefined>,
  timeoutMs = 30_000,
): Promise<T> {
  return (await harnessEventually(what, timeoutMs, probe)).value;
}

/** Holds at every look during this time. */
export async function always(what: string, forMs: number, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + forMs;
  while (performance.now() < end) {
    if (!(await holds())) throw new Error(`${what}: no longer so`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
