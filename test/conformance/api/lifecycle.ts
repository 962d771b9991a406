/**
 * The life of three objects of a kind, through every verb: discovery, create, get, list in one namespace and in all, watch,
 * the patches, update, status, delete and deletecollection. Most "API operations" rows are this with another fixture.
 */
import assert from 'node:assert/strict';
import type { Context, RowTest } from '../framework/context.js';
import { discovers } from '../framework/discovery.js';
import { eventually, includes, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';
import type { Watch } from '../framework/watch.js';

export interface StatusFixture {
  /** Merged into the status by a patch, and expected to be there afterwards. */
  readonly patched: Json;
  /** The status that an update puts; `patched` with something changed. */
  readonly updated: Json;
}

export interface Fixture {
  readonly groupVersion: string;
  readonly plural: string;
  readonly kind: string;
  readonly clusterScoped?: true;
  /** What the object has beside apiVersion, kind and metadata. */
  readonly body?: (i: number, name: string) => Json;
  /** Names are `<plural>-<i>-<random>` unless the kind wants others. */
  readonly nameOf?: (i: number, t: Context) => string;
  /** Put into metadata. */
  readonly metadata?: Json;
  /** A merge patch of what may change in the kind, and what must be there afterwards. */
  readonly change?: Json;
  readonly status?: StatusFixture;
  /** Controllers write the status too: only the answers are looked at, not what a later read shows. */
  readonly statusIsReset?: true;
  /** Writes of the status leave the metadata as it is; for most kinds they take along what they bring. */
  readonly statusKeepsMetadata?: true;
  /** The kind has no status subresource, or its owner refuses strategic merge patches. */
  readonly noStrategicPatch?: true;
}

/** Objects wait for finalizers and for kubelets. */
const GONE_MS = 60_000;

export const lifecycleRow =
  (fixture: Fixture): RowTest =>
  (t) =>
    lifecycle(t, fixture);

export async function lifecycle(t: Context, fixture: Fixture): Promise<void> {
  const { groupVersion, plural, status } = fixture;
  await discovers(t.api, groupVersion, [plural, ...(status ? [`${plural}/status`] : [])]);
  const namespace = fixture.clusterScoped ? undefined : await t.namespace();
  const here = t.resource(groupVersion, plural, namespace);
  const labels = { 'conformance.example.com/run': t.unique('run') };
  const selector = `conformance.example.com/run=${labels['conformance.example.com/run']}`;
  t.cleanup(() => here.deleteCollection(selector));

  const objects = await createThree(t, here, fixture, labels);
  const [first, second] = objects.map(({ metadata }: Json) => String(metadata.name)) as [string, string];
  const watch = await readBack(here, objects, selector);
  t.cleanup(() => Promise.resolve(watch.close()));
  await patches(here, first, watch, fixture);
  await updates(here, second, watch);
  if (status) await changesStatus(here, first, fixture, status);
  await deletes(here, objects, selector, watch);
}

async function createThree(t: Context, here: Resource, fixture: Fixture, labels: Json): Promise<Json[]> {
  const created: Json[] = [];
  for (const i of [0, 1, 2]) {
    const name = fixture.nameOf?.(i, t) ?? t.unique(`${fixture.plural}-${i}`);
    const object = {
      apiVersion: fixture.groupVersion,
      kind: fixture.kind,
      metadata: { name, labels, ...fixture.metadata },
      ...fixture.body?.(i, name),
    };
    const answer = await t.api.send('POST', here.path(), { body: object });
    assert.equal(answer.status, 201, `create of ${name}: ${answer.text}`);
    includes(answer.body, { apiVersion: fixture.groupVersion, kind: fixture.kind, metadata: { name, labels } });
    for (const field of ['uid', 'creationTimestamp', 'resourceVersion']) {
      assert.ok(answer.body.metadata[field], `create of ${name}: no metadata.${field}`);
    }
    if (i === 0) await refused(here.create(object), { status: 409, reason: 'AlreadyExists' });
    created.push(answer.body);
  }
  return created;
}

/** Each by its name, all by their label, here and (where there are namespaces) everywhere; then a watch from there. */
async function readBack(here: Resource, objects: Json[], selector: string): Promise<Watch> {
  for (const { metadata, apiVersion, kind } of objects) {
    includes(await here.get(metadata.name), { apiVersion, kind, metadata: { name: metadata.name, uid: metadata.uid } });
  }
  const names = objects.map(({ metadata }) => String(metadata.name)).toSorted();
  assert.deepEqual(await here.names(selector), names);
  const everywhere = here.in(undefined);
  assert.deepEqual(await everywhere.names(selector), names);
  const list = await here.list({ labelSelector: selector });
  assert.equal(list.kind, `${objects[0].kind}List`);
  return everywhere.watch({ labelSelector: selector, resourceVersion: list.metadata.resourceVersion });
}

async function patches(here: Resource, name: string, watch: Watch, fixture: Fixture): Promise<void> {
  const annotations = (object: Json) => object.metadata.annotations ?? {};
  const merged = await here.patch(name, { metadata: { annotations: { patched: 'true' } } });
  assert.equal(annotations(merged).patched, 'true');
  const json = [{ op: 'add', path: '/metadata/annotations/json', value: 'true' }];
  includes(annotations(await here.patch(name, json, 'json')), { patched: 'true', json: 'true' });
  if (!fixture.noStrategicPatch) {
    const strategic = await here.patch(name, { metadata: { annotations: { strategic: 'true' } } }, 'strategic');
    includes(annotations(strategic), { patched: 'true', strategic: 'true' });
  }
  if (fixture.change !== undefined) {
    includes(await here.patch(name, fixture.change), fixture.change);
    includes(await here.get(name), fixture.change);
  }
  const last = fixture.noStrategicPatch ? 'json' : 'strategic';
  await watch.until(
    `MODIFIED of ${name} with the annotation '${last}'`,
    ({ type, object }) => type === 'MODIFIED' && object.metadata.name === name && annotations(object)[last] === 'true',
  );
}

/** An update of the newest version is taken, one of an older version is a conflict. */
async function updates(here: Resource, name: string, watch: Watch): Promise<void> {
  const old = await here.get(name);
  const updated = await here.update(name, ({ metadata }) => (metadata.annotations = { updated: 'true' }));
  assert.equal(updated.metadata.annotations.updated, 'true');
  assert.notEqual(updated.metadata.resourceVersion, old.metadata.resourceVersion);
  assert.equal(updated.metadata.uid, old.metadata.uid);
  await watch.until(
    `MODIFIED of ${name} with the annotation 'updated'`,
    ({ type, object }) => type === 'MODIFIED' && object.metadata.annotations?.updated === 'true',
  );
  const stale = { ...old, metadata: { ...old.metadata, annotations: { stale: 'true' } } };
  await refused(here.replace(stale), { status: 409, reason: 'Conflict', message: /the object has been modified/ });
}

/** The status changes through its subresource, along with annotations; the rest of the object does not. */
async function changesStatus(here: Resource, name: string, fixture: Fixture, status: StatusFixture): Promise<void> {
  const annotations = { 'patched-status': 'true' };
  const patched = await here.patch(name, { metadata: { annotations }, status: status.patched }, 'merge', 'status');
  includes(patched.status, status.patched);
  const annotation = fixture.statusKeepsMetadata ? undefined : 'true';
  assert.equal(patched.metadata.annotations['patched-status'], annotation, 'the annotation beside the status');
  const updated = await here.update(name, (object) => (object.status = status.updated), 'status');
  includes(updated.status, status.updated);
  const read = await here.get(name, 'status');
  assert.equal(read.metadata.uid, patched.metadata.uid);
  if (!fixture.statusIsReset) includes(read.status, status.updated);
}

async function deletes(here: Resource, objects: Json[], selector: string, watch: Watch): Promise<void> {
  const [first] = objects.map(({ metadata }) => String(metadata.name)) as [string];
  const grace = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 };
  await here.delete(first, grace);
  await watch.type('DELETED', first, GONE_MS);
  await refused(here.get(first), { status: 404, reason: 'NotFound' });
  assert.equal((await here.items(selector)).length, objects.length - 1);
  await here.deleteCollection(selector, grace);
  await eventually('all to be gone', async () => (await here.items(selector)).length === 0, GONE_MS);
}
