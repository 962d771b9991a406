/** Custom resources selected by their fields, in the version that is asked for, whatever version is stored. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import { refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import { withConversion } from './admission.js';

async function fieldSelectors(t: Context): Promise<void> {
  const { customs, object } = await withConversion(t);
  const [v1, v2] = [customs('v1'), customs('v2')];
  await v1.create({ ...object('second', 'v1'), hostPort: 'example.com:9090' });
  const named = async (custom: typeof v1, fieldSelector: string): Promise<string[]> =>
    (await custom.list({ fieldSelector })).items.map(({ metadata }: Json) => String(metadata.name));
  assert.deepEqual(await named(v1, 'hostPort=localhost:8080'), ['first']);
  assert.deepEqual(await named(v1, 'hostPort!=localhost:8080'), ['second']);
  assert.deepEqual(await named(v2, 'host=example.com'), ['second']);
  assert.deepEqual(await named(v2, 'host=example.com,port=8080'), []);
  // A field of the other version is none of this one.
  const unknown = { status: 400, reason: 'BadRequest', message: /field label not supported: host\b/ };
  await refused(v1.list({ fieldSelector: 'host=localhost' }), unknown);

  const { resourceVersion } = (await v2.list()).metadata;
  const watching = await v2.watch({ resourceVersion, fieldSelector: 'host=localhost' });
  t.cleanup(() => Promise.resolve(watching.close()));
  await v1.create(object('third', 'v1'));
  await v1.patch('second', { hostPort: 'localhost:7070' });
  await v1.patch('first', { hostPort: 'example.com:8080' });
  for (const expected of [
    ['ADDED', 'third', '8080'],
    ['ADDED', 'second', '7070'],
    ['DELETED', 'first', '8080'],
  ]) {
    const { type, object: seen } = await watching.next();
    assert.deepEqual([type, seen.metadata.name, seen.port], expected);
  }
}

export const rows: Rows = { 'crd-field-selectors': fieldSelectors };
