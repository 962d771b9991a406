import assert from 'node:assert/strict';
import { seededRandom } from '../../../src/base/random.js';
import {
  differingBuckets,
  differingLeaves,
  DigestTree,
  leafOf,
  LEAVES_PER_BUCKET,
} from '../../../src/store/digest-tree.js';
import { SortedKeys } from '../../../src/store/sorted-keys.js';
import type { Stamp } from '../../../src/store/stamp.js';

const identity = (key: string, revision: number) => ({ key, version: `v${revision}` as Stamp, revision });

function treeOf(records: Iterable<readonly [string, number]>): DigestTree {
  const tree = new DigestTree();
  for (const [key, revision] of records) tree.change(undefined, identity(key, revision));
  return tree;
}

describe('digests that are kept up to date', () => {
  it('equal those of the same records put in any order, whatever happened before', () => {
    const random = seededRandom(7);
    const tree = new DigestTree();
    const present = new Map<string, number>();
    for (let step = 1; step <= 3_000; step++) {
      const key = `/pods/default/p-${random.int(500)}`;
      const before = present.get(key);
      const old = before === undefined ? undefined : identity(key, before);
      if (random.int(4) === 0) {
        tree.change(old, undefined);
        present.delete(key);
      } else {
        tree.change(old, identity(key, step));
        present.set(key, step);
      }
    }
    assert.deepEqual(tree.buckets(), treeOf([...present].toReversed()).buckets());
    const keys = Array.from({ length: 256 * LEAVES_PER_BUCKET }, (_, leaf) => tree.keysIn(leaf)).flat();
    assert.deepEqual(keys.toSorted(), [...present.keys()].toSorted());
  });

  it('tell one changed record by its bucket and its leaf', () => {
    const records = Array.from({ length: 2_000 }, (_, i) => [`/pods/default/p-${i}`, i + 1] as const);
    const ours = treeOf(records);
    const theirs = ours.copy();
    const key = '/pods/default/p-77';
    theirs.change(identity(key, 78), identity(key, 9_000));
    const [bucket = -1, ...others] = differingBuckets(ours.buckets(), theirs.buckets());
    assert.deepEqual(others, []);
    const leaves = differingLeaves(bucket, ours.leavesOf(bucket), theirs.leavesOf(bucket));
    assert.deepEqual(leaves, [leafOf(key)]);
    assert.ok(ours.keysIn(leafOf(key)).includes(key));
  });

  it('differ for the same write under another revision', () => {
    const a = treeOf([['k', 1]]);
    const b = new DigestTree();
    b.change(undefined, { ...identity('k', 1), revision: 2 });
    assert.equal(differingBuckets(a.buckets(), b.buckets()).length, 1);
  });
});

describe('sorted keys', () => {
  it('stay in order and complete through thousands of additions and removals', () => {
    const random = seededRandom(3);
    const keys = new SortedKeys();
    const model = new Set<string>();
    for (let step = 0; step < 20_000; step++) {
      const key = `ns-${random.int(20)}\u0000n-${random.int(2_000)}`;
      if (model.has(key)) {
        keys.remove(key);
        model.delete(key);
      } else {
        keys.add(key);
        model.add(key);
      }
    }
    const expected = [...model].toSorted((a, b) => (a < b ? -1 : 1));
    const from = (start: string) => {
      const seen: string[] = [];
      keys.visitFrom(start, (key) => seen.push(key) > 0);
      return seen;
    };
    assert.deepEqual(from(''), expected);
    assert.deepEqual(
      from('ns-7\u0000'),
      expected.filter((key) => key >= 'ns-7\u0000'),
    );
    const copy = keys.copy();
    for (const key of expected) keys.remove(key);
    assert.deepEqual(from(''), []);
    copy.remove(expected[0] as string);
    keys.add('again');
    assert.deepEqual(from(''), ['again']);
  });

  it('end where they are told to', () => {
    const keys = new SortedKeys();
    for (let i = 0; i < 2_000; i++) keys.add(String(i).padStart(5, '0'));
    const seen: string[] = [];
    keys.visitFrom('00700', (key) => seen.push(key) < 3);
    assert.deepEqual(seen, ['00700', '00701', '00702']);
  });
});
