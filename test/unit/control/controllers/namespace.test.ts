import assert from 'node:assert/strict';
import { NAMESPACES } from '../../../../src/api/resource.js';
import type { Namespace } from '../../../../src/api/types/core-v1.js';
import { namespaceController, type RemoteContent } from '../../../../src/control/controllers/namespace/controller.js';
import { harness, type Harness } from './harness.js';

describe('a namespace that is deleted, with objects that other API servers keep', () => {
  let h: Harness;
  let content: RemoteContent;
  let asked: string[];
  beforeEach(async () => {
    h = harness();
    asked = [];
    const emptyRemote = (namespace: string) => {
      asked.push(namespace);
      return Promise.resolve(content);
    };
    await h.run(namespaceController(h, { resources: () => [], emptyRemote }));
    await h.client.create<Namespace>(NAMESPACES, { metadata: { name: 'ns' }, spec: { finalizers: ['kubernetes'] } });
  });
  afterEach(() => h.stop());

  const conditions = async () => {
    const { status } = await h.client.get<Namespace>(NAMESPACES, '', 'ns');
    return (status?.conditions ?? []).filter((each) => each.status === 'True').map(({ reason }) => reason);
  };
  const isGone = () => h.client.all(NAMESPACES).length === 0;

  it('stays while nobody knows what they are, or some are left', async () => {
    const nothing: RemoteContent = { undiscovered: [], failures: [], remaining: new Map() };
    content = { ...nothing, undiscovered: ['a.io/v1: unable'] };
    await h.client.delete(NAMESPACES, '', 'ns');
    await h.clock.advance(100);
    assert.deepEqual(await conditions(), ['DiscoveryFailed']);
    content = { ...nothing, failures: ['things.a.io: 500'] };
    await h.clock.advance(1_100);
    assert.deepEqual(await conditions(), ['ContentDeletionFailed']);
    content = { ...nothing, remaining: new Map([['things.a.io', 2]]) };
    await h.clock.advance(1_100);
    assert.deepEqual(await conditions(), ['SomeResourcesRemain']);
    assert.equal(isGone(), false);
    content = nothing;
    await h.clock.advance(1_100);
    assert.equal(isGone(), true);
    assert.ok(asked.every((namespace) => namespace === 'ns'));
  });
});
