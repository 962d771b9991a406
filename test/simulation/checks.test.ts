/** Each check of the histories can fail: clusters that break one promise are found out. */
import assert from 'node:assert/strict';
import type { Replica } from '../../src/store/replication/replica.js';
import { runHistory, type Breakage } from './history.js';
import { unexplained, type Step } from './linearizability.js';

/** Histories until one is found out; a promise is not broken in each of them. */
const ATTEMPTS = 200;

async function assertFoundOut(breakage: Breakage, complaint: RegExp): Promise<void> {
  const seen: string[] = [];
  for (let seed = 1; seed <= ATTEMPTS; seed++) {
    const { problems } = await runHistory(seed, undefined, breakage);
    if (problems.some((problem) => complaint.test(problem))) return;
    seen.push(...problems);
  }
  assert.fail(`nobody noticed in ${ATTEMPTS} histories; ${seen.slice(0, 3).join('\n')}`);
}

/** The replica, but for what `changes` replace. */
function disguised(replica: Replica, changes: Partial<Replica>): Replica {
  return new Proxy(replica, {
    get(target, name) {
      if (name in changes) return Reflect.get(changes, name) as unknown;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (...args: unknown[]): unknown => Reflect.apply(value, target, args) : value;
    },
  });
}

const withEvents = (replica: Replica, alter: (revision: number) => readonly number[]): Replica =>
  disguised(replica, {
    watch: (group, resource, namespace, from, watcher) =>
      replica.watch(group, resource, namespace, from, {
        onEvents: (events) => watcher.onEvents(events.flatMap((event) => alter(event.revision).map(() => event))),
        onEnd: () => watcher.onEnd(),
      }),
  });

describe('the checks of the histories', function () {
  this.timeout(300_000);

  it('find reads that do not ask how far the sequencer is', () =>
    // Some peers are always a little behind.
    assertFoundOut({ whole: true, staleReads: true, link: { jitterMs: 80 } }, /not linearizable/));

  it('find a disk that says too early that a write is durable', () =>
    assertFoundOut({ whole: true, disk: { lies: true } }, /^lost: |not linearizable/));

  it('find deletions that are forgotten', () => {
    const policy: Breakage['policy'] = (_group, resource, usual) =>
      resource === 'configmaps' ? { ...usual, tombstones: false } : usual;
    return assertFoundOut({ whole: false, policy }, /came back after its deletion/);
  });

  it('find writes in a part without a majority to what needs one', () =>
    assertFoundOut({ whole: false, holdsMajorityOnly: false }, /^voted-0 is not linearizable/));

  it('find a peer that shows another state', () => {
    const disguise: Breakage['disguise'] = (replica, peer) =>
      peer === 'p1'
        ? disguised(replica, { list: (group, resource) => replica.list(group, resource).slice(1) })
        : replica;
    return assertFoundOut({ whole: true, disguise }, /^p1 and p0 differ/);
  });

  it('find a peer that shows its clients less than before', () => {
    const disguise: Breakage['disguise'] = (replica) => {
      const shown = new Map<string, ReturnType<Replica['get']>[]>();
      // What was there two reads ago.
      const get: Replica['get'] = (key) => {
        const last = shown.get(key.name) ?? [];
        shown.set(key.name, [...last, replica.get(key)].slice(-3));
        return last[0] ?? replica.get(key);
      };
      return disguised(replica, { get });
    };
    return assertFoundOut({ disguise }, /^session of .* misses/);
  });

  it('find a watch that misses an event', () => {
    const disguise: Breakage['disguise'] = (replica, peer) =>
      peer === 'p1' ? withEvents(replica, (revision) => (revision % 7 === 0 ? [] : [revision])) : replica;
    return assertFoundOut({ whole: true, disguise }, /^the watch on p1 .* missed/);
  });

  it('find a watch that shows an event twice', () => {
    const disguise: Breakage['disguise'] = (replica, peer) =>
      peer === 'p1'
        ? withEvents(replica, (revision) => (revision % 7 === 0 ? [revision, revision] : [revision]))
        : replica;
    return assertFoundOut({ whole: true, disguise }, /p1: event \d+ after \d+/);
  });

  it('find those who go on with a removed peer', () =>
    assertFoundOut(
      { trait: 'removals', whole: false, keepsGate: false },
      /works with p\d+, and knows that it was removed/,
    ));

  it('find two that lead in one epoch', () => {
    const disguise: Breakage['disguise'] = (replica) => disguised(replica, { currentMode: 'leading' });
    return assertFoundOut({ whole: true, disguise }, /epoch .* has two reigns/);
  });
});

describe('linearizability', () => {
  const write = (startMs: number, endMs: number, from: string, to: string): Step => ({
    startMs,
    endMs,
    apply: (state) => (state === from ? to : undefined),
    text: `${from}->${to}`,
  });
  const read = (startMs: number, endMs: number, seen: string): Step => ({ ...write(startMs, endMs, seen, seen) });

  it('finds the order of concurrent operations', () => {
    const steps = [write(0, 10, 'a', 'b'), write(1, 9, '', 'a'), read(2, 8, ''), read(9, 12, 'b')];
    assert.equal(unexplained(steps, ''), undefined);
  });

  it('refuses a read of what was overwritten before it began', () => {
    assert.match(unexplained([write(0, 1, '', 'a'), read(2, 3, '')], '') ?? '', /no order explains it/);
  });

  it('refuses two that both saw themselves as the first', () => {
    assert.notEqual(unexplained([write(0, 5, '', 'a'), write(1, 6, '', 'b')], ''), undefined);
  });

  it('refuses a value that is gone again', () => {
    assert.notEqual(unexplained([write(0, 1, '', 'a'), read(2, 3, 'a'), read(4, 5, '')], ''), undefined);
  });

  it('lets what nobody heard of have happened late, or never', () => {
    const lost = write(0, Infinity, '', 'a');
    assert.equal(unexplained([lost, read(5, 6, ''), read(7, 8, 'a')], ''), undefined);
    assert.equal(unexplained([lost, read(5, 6, '')], ''), undefined);
    assert.notEqual(unexplained([lost, read(5, 6, 'a'), read(7, 8, '')], ''), undefined);
  });
});
