import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  compareLines,
  foundedRegistry,
  holdsMajority,
  nextRegistry,
  type PeerRegistry,
  type Standing,
} from '../../../src/store/replication/peer-registry.js';

const epoch = { n: 1, leader: 'a' };
const named = (id: string) => ({ id, name: `node-${id}` });
const nameOf = (id: string) => `node-${id.replace(/\d+$/, '')}`;

function registry(ids: string, change: Partial<PeerRegistry> = {}): PeerRegistry {
  const one = foundedRegistry(ids.split('').map(named), epoch);
  return { ...one, metadata: { ...one.metadata, resourceVersion: '10' }, ...change };
}

const standing = (voters: readonly string[], change: Partial<Standing> = {}): Standing => ({
  self: voters[0] ?? '',
  epoch,
  voters,
  majorityRevision: 10,
  ...change,
});

const ids = (next: PeerRegistry | undefined) => next?.peers.map(({ id }) => id).join('');

describe('the register of peers', () => {
  it('begins with the founder alone, who is a majority of one', () => {
    const next = nextRegistry(undefined, standing(['a', 'b']), nameOf);
    assert.deepEqual(next?.peers, [named('a')]);
    assert.equal(holdsMajority(next, ['a']), true);
    assert.equal(holdsMajority(undefined, ['a']), false);
  });

  it('counts half of the peers for no majority', () => {
    assert.equal(holdsMajority(registry('ab'), ['a']), false);
    assert.equal(holdsMajority(registry('abcd'), ['a', 'b', 'x', 'y']), false);
    assert.equal(holdsMajority(registry('abc'), ['b', 'c']), true);
  });

  it('notes a new reign that holds a majority before anything else', () => {
    const later = { n: 2, leader: 'b' };
    const next = nextRegistry(registry('abc'), standing(['b', 'c', 'd'], { epoch: later }), nameOf);
    assert.deepEqual([ids(next), next?.epoch], ['abc', later]);
    assert.equal(nextRegistry(registry('abc'), standing(['b'], { epoch: later }), nameOf), undefined);
  });

  it('adds one peer at a time, and the next when a majority has the last', () => {
    assert.equal(ids(nextRegistry(registry('a'), standing(['a', 'b', 'c']), nameOf)), 'ab');
    assert.equal(nextRegistry(registry('ab'), standing(['a', 'b', 'c'], { majorityRevision: 9 }), nameOf), undefined);
    assert.equal(nextRegistry(registry('abc'), standing(['a', 'b', 'c']), nameOf), undefined);
  });

  it('replaces a machine that came anew under its old name in two steps', () => {
    const one = nextRegistry(registry('abc'), standing(['a', 'b', 'c2']), nameOf) as PeerRegistry;
    assert.equal(ids(one), 'ab');
    const settled = { ...one, metadata: { ...one.metadata, resourceVersion: '10' } };
    assert.equal(ids(nextRegistry(settled, standing(['a', 'b', 'c2']), nameOf)), 'abc2');
  });

  it('tells which of two lines had the newer majority', () => {
    const newer = registry('abc', { epoch: { n: 2, leader: 'c' } });
    assert.ok(compareLines(newer, registry('abc')) > 0);
    assert.ok(compareLines(registry('abc'), newer) < 0);
    assert.ok(compareLines(undefined, newer) < 0);
    assert.equal(compareLines(newer, newer), 0);
  });

  it('never leaves room for two majorities, whoever joins', () => {
    const voters = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'c2', 'd2', 'f', 'g'), { minLength: 1 });
    fc.assert(
      fc.property(fc.array(voters, { minLength: 1, maxLength: 20 }), voters, (views, part) => {
        let now = registry('abc');
        for (const view of views) {
          const next = nextRegistry(now, standing(view), nameOf);
          if (!next) continue;
          const rest = [...now.peers, ...next.peers]
            .map(({ id }) => id)
            .filter((id) => !(part as string[]).includes(id));
          assert.ok(!holdsMajority(now, part) || !holdsMajority(next, rest), `${ids(now)} ${ids(next)} ${part.join()}`);
          assert.ok(!holdsMajority(next, part) || !holdsMajority(now, rest), `${ids(now)} ${ids(next)} ${part.join()}`);
          now = { ...next, metadata: { ...next.metadata, resourceVersion: '10' } };
        }
      }),
    );
  });
});
