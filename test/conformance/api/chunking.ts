/** Lists in pages. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import { eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';

const COUNT = 40;
/** Snapshots of lists that were begun are dropped after five minutes, as etcd compacts. */
const EXPIRY_MS = 8 * 60_000;

async function podTemplates(t: Context): Promise<Resource> {
  const resource = t.core('podtemplates', await t.namespace('chunking'));
  const make = (i: number) =>
    resource.create({
      metadata: { name: `template-${String(i).padStart(4, '0')}` },
      template: { spec: { containers: [{ name: 'test', image: 'test2' }] } },
    });
  await Promise.all(Array.from({ length: COUNT }, (_, i) => make(i)));
  return resource;
}

const names = (list: Json): string[] => list.items.map(({ metadata }: Json) => metadata.name);

async function inPages(t: Context): Promise<void> {
  const resource = await podTemplates(t);
  const all = names(await resource.list());
  assert.equal(all.length, COUNT);
  for (const limit of [1, 7, COUNT - 1, COUNT, 500]) {
    const seen: string[] = [];
    let version: string | undefined;
    let token: string | undefined;
    do {
      const page = await resource.list({ limit, continue: token });
      assert.ok(page.items.length <= limit, `${page.items.length} items in a page of ${limit}`);
      version ??= page.metadata.resourceVersion;
      assert.equal(page.metadata.resourceVersion, version, 'all pages are of one version');
      seen.push(...names(page));
      const { remainingItemCount } = page.metadata;
      token = page.metadata.continue || undefined;
      assert.equal(remainingItemCount ?? 0, COUNT - seen.length, 'remainingItemCount');
    } while (token !== undefined);
    assert.deepEqual(seen, all);
  }
  const whole = await resource.list({ limit: 0 });
  assert.equal(whole.items.length, COUNT);
  assert.ok(!whole.metadata.continue);
}

async function afterExpiry(t: Context): Promise<void> {
  const resource = await podTemplates(t);
  const limit = 7;
  const first = await resource.list({ limit });
  const token = first.metadata.continue;
  // A change that the first page's version does not have.
  const renamed = await resource.update('template-0039', ({ metadata }) => (metadata.labels = { changed: 'true' }));
  const gone = await eventually(
    'the token to expire',
    async () => {
      const answer = await t.api.send('GET', resource.path(), { query: { limit, continue: token } });
      if (answer.status === 200) await new Promise((resolve) => setTimeout(resolve, 10_000));
      return answer.status === 200 ? undefined : answer;
    },
    EXPIRY_MS,
  );
  assert.equal(gone.status, 410);
  assert.equal(gone.body.reason, 'Expired');
  const next = gone.body.metadata.continue;
  assert.ok(next, 'the refusal carries a token to go on with');
  const page = await resource.list({ limit, continue: next });
  assert.equal(names(page)[0], 'template-0007');
  assert.ok(Number(page.metadata.resourceVersion) >= Number(renamed.metadata.resourceVersion));
  const seen = [...names(first), ...names(page)];
  for (let { continue: more } = page.metadata; more;) {
    const following = await resource.list({ limit, continue: more });
    seen.push(...names(following));
    more = following.metadata.continue;
  }
  assert.equal(seen.length, COUNT);
}

export const rows: Rows = { 'chunk-basic': inPages, 'chunk-expired': afterExpiry };
