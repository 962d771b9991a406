import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  compareLines,
  foundedRegistry,
  holdsMajority,
  levelOf,
  nextRegistry,
  type PeerFacts,
  type PeerRegistry,
  type Standing,
} from '../../../src/store/replication/peer-registry.js';

const epoch = { n: 1, leader: 'a' };
const named = (id: string) => ({ id, name: `node-${id}` });
const facts: PeerFacts = {
  nameOf: (id) => `node-${id.replace(/\d+$/, '')}`,
  formatsOf: () => undefined,
  isRevoked: () => false,
};

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
    const next = nextRegistry(undefined, standing(['a', 'b']), facts);
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
    const next = nextRegistry(registry('abc'), standing(['b', 'c', 'd'], { epoch: later }), facts);
    assert.deepEqual([ids(next), next?.epoch], ['abc', later]);
    assert.equal(nextRegistry(registry('abc'), standing(['b'], { epoch: later }), facts), undefined);
  });

  it('adds one peer at a time, and the next when a majority has the last', () => {
    assert.equal(ids(nextRegistry(registry('a'), standing(['a', 'b', 'c']), facts)), 'ab');
    assert.equal(nextRegistry(registry('ab'), standing(['a', 'b', 'c'], { majorityRevision: 9 }), facts), undefined);
    assert.equal(nextRegistry(registry('abc'), standing(['a', 'b', 'c']), facts), undefined);
  });

  it('replaces a machine that came anew under its old name in two steps', () => {
    const one = nextRegistry(registry('abc'), standing(['a', 'b', 'c2']), facts) as PeerRegistry;
    assert.equal(ids(one), 'ab');
    const settled = { ...one, metadata: { ...one.metadata, resourceVersion: '10' } };
    assert.equal(ids(nextRegistry(settled, standing(['a', 'b', 'c2']), facts)), 'abc2');
  });

  describe('and the level of formats', () => {
    const knowing = (formats: Readonly<Record<string, number>>): PeerFacts => ({
      ...facts,
      formatsOf: (id) => (formats[id] === undefined ? undefined : { oldest: 1, newest: formats[id] }),
    });
    /** Takes every step there is, as if each was on the disks of a majority at once. */
    const settled = (from: PeerRegistry, view: Standing, known: PeerFacts): PeerRegistry => {
      const next = nextRegistry(from, view, known);
      return next ? settled({ ...next, metadata: { ...next.metadata, resourceVersion: '10' } }, view, known) : from;
    };

    it('rises when the last registered peer knows it, those that are away as they were known last', () => {
      const two = settled(registry('abc'), standing(['a', 'b', 'c']), knowing({ a: 2, b: 2, c: 1 }));
      assert.equal(levelOf(two), 1);
      const away = settled(two, standing(['a', 'b']), knowing({ a: 2, b: 2 }));
      assert.equal(levelOf(away), 1);
      const all = settled(two, standing(['a', 'b', 'c']), knowing({ a: 3, b: 2, c: 2 }));
      assert.equal(levelOf(all), 2);
      assert.equal(levelOf(settled(all, standing(['a', 'b']), knowing({ a: 3, b: 3 }))), 2, 'c was known to know 2');
    });

    it('notes a peer that went back before it rises, and never falls', () => {
      const upgraded = settled(registry('ab'), standing(['a', 'b']), knowing({ a: 1, b: 2 }));
      const back = settled(upgraded, standing(['a', 'b']), knowing({ a: 2, b: 1 }));
      assert.equal(levelOf(back), 1);
      const risen = settled(back, standing(['a', 'b']), knowing({ a: 2, b: 2 }));
      assert.equal(levelOf(risen), 2);
      assert.equal(levelOf(settled(risen, standing(['a', 'b']), knowing({ a: 1, b: 1 }))), 2);
    });

    it('stays without a majority', () => {
      assert.equal(levelOf(settled(registry('abc'), standing(['a']), knowing({ a: 2, b: 2, c: 2 }))), 1);
    });
  });

  it('keeps out who was revoked, and strikes off who came in by a merge', () => {
    const barred: PeerFacts = { ...facts, isRevoked: (id) => id === 'c' };
    assert.equal(nextRegistry(registry('ab'), standing(['a', 'b', 'c']), barred), undefined);
    assert.equal(ids(nextRegistry(registry('abc'), standing(['a', 'b', 'c']), barred)), 'ab');
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
          const next = nextRegistry(now, standing(view), facts);
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
