import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { DEFAULT_READ_LIMITS } from '../../../src/control/apiserver/reads/object-reads.js';
import { DEFAULT_WATCH_LIMITS } from '../../../src/control/apiserver/http/watch-stream.js';
import { DEFAULT_TIMING } from '../../../src/p2p/membership.js';
import { DOCUMENT_LIMITS } from '../../../src/store/crdt/document.js';
import { MAX_WRITERS } from '../../../src/store/crdt/field-tree.js';
import { HISTORY_LIMITS } from '../../../src/store/object-history.js';
import { MAX_PENDING } from '../../../src/store/record.js';
import { CONFLICT_LIMITS } from '../../../src/store/replication/conflict-log.js';
import { DEFAULT_REPLICA_OPTIONS } from '../../../src/store/replication/context.js';
import { HELD_LOG_BYTES } from '../../../src/store/replication/replica-state.js';

const read = (path: string) => readFileSync(new URL(`../../../docs/${path}`, import.meta.url), 'utf8');
const time = (ms: number) => (ms < 1000 ? `${ms} ms` : ms < 120_000 ? `${ms / 1000} s` : `${ms / 60_000} min`);
const count = (n: number) => n.toLocaleString('en-US');

const {
  framesInFlight,
  window,
  probeMs,
  gatherMs,
  successionMs,
  bootGraceMs,
  requestMs,
  resendMs,
  syncChunkBytes,
  syncIdleMs,
  pendingRequests,
} = DEFAULT_REPLICA_OPTIONS;

/** A row's first cell, and what the row must say. */
const ROWS: readonly (readonly [row: string, ...says: string[]])[] = [
  ['a write waits for a sequencer and its answer', time(requestMs)],
  ['writes waiting at one peer', count(pendingRequests)],
  ['a read waits for a version not yet here', time(DEFAULT_READ_LIMITS.waitMs), time(requestMs)],
  ['snapshots for chunked lists', count(DEFAULT_READ_LIMITS.snapshots), time(DEFAULT_READ_LIMITS.snapshotTtlMs)],
  ['what a slow watcher may leave unread', `${DEFAULT_WATCH_LIMITS.bufferBytes / 2 ** 20} MiB`],
  ['length of a watch', time(DEFAULT_WATCH_LIMITS.timeoutMs)],
  ['frames under way before writes wait for company', count(framesInFlight)],
  ['frames sent to a peer ahead of its acknowledgements', count(window)],
  ['log kept beyond that by a sequencer', `${HELD_LOG_BYTES / 2 ** 20} MiB`],
  ['one synchronisation message', `${syncChunkBytes / 2 ** 20} MiB`],
  ['a synchronisation without progress', time(syncIdleMs)],
  ['an unanswered frame is asked about after', time(probeMs)],
  ['a forwarded request is sent again after', time(resendMs)],
  ['a candidate waits for answers', time(gatherMs)],
  ['each further peer in the order of succession waits', time(successionMs)],
  ['a restarted peer waits for the peers of its last view', time(bootGraceMs)],
  ['writes kept as plain values before they enter the document', count(MAX_PENDING)],
  [
    'changes of an object kept to be shown',
    count(HISTORY_LIMITS.changes),
    `${HISTORY_LIMITS.bytes / 1024} KiB`,
    `${HISTORY_LIMITS.totalBytes / 2 ** 20} MiB`,
  ],
  [
    'values overridden by merges kept to be shown',
    count(CONFLICT_LIMITS.values),
    `${CONFLICT_LIMITS.bytes / 2 ** 20} MiB`,
  ],
  [
    'changes of a document before it is squashed',
    count(DOCUMENT_LIMITS.changes),
    `${DOCUMENT_LIMITS.bytes / 1024} KiB`,
  ],
  ['writers of one object that its document tells apart', count(MAX_WRITERS)],
  ['heartbeat; silence that makes a suspect', time(DEFAULT_TIMING.timeoutMs), time(DEFAULT_TIMING.confirmMs)],
  ['dead peers remembered', count(DEFAULT_TIMING.maxDead)],
];

describe('docs/limits.md', () => {
  const lines = read('limits.md').split('\n');
  for (const [row, ...says] of ROWS) {
    it(`tells the truth: ${row}`, () => {
      const line = lines.find((one) => one.startsWith(`| ${row}`));
      assert.ok(line, 'there is no such row');
      // Figures as wholes: `5 s` is not said by `15 s`.
      for (const figure of says)
        assert.match(line, new RegExp(`(?<![\\d.,])${figure.replaceAll('.', '\\.')}(?![\\d])`));
    });
  }
});

describe('docs/ARCHITECTURE.md', () => {
  it('gives the times that the code has', () => {
    const text = read('ARCHITECTURE.md').replaceAll(/\s+/g, ' ');
    for (const sentence of [
      `no heartbeat (one each 200 ms) for ${time(DEFAULT_TIMING.timeoutMs)}`,
      `${time(DEFAULT_TIMING.askMs)} more when a third peer has lost it too; ${time(DEFAULT_TIMING.confirmMs)} more`,
      `waits ${time(successionMs)} longer`,
      `When all have answered, or after ${time(gatherMs)}`,
      `the members of its last view ${time(bootGraceMs)} to show up`,
      `up to ${MAX_PENDING} writes wait as plain values`,
    ])
      assert.ok(text.includes(sentence), `it should say: ${sentence}`);
  });
});
