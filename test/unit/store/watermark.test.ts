import assert from 'node:assert/strict';
import { NO_STAMP, stampMs, type Stamp } from '../../../src/store/stamp.js';
import { commonUntil, stampAt, wasForgotten } from '../../../src/store/replication/watermark.js';

const at = (ms: number) => stampAt(ms);

describe('what a late peer brings back', () => {
  it('is dropped when both sides knew it and its deletion may have been forgotten', () => {
    assert.equal(wasForgotten(at(100), at(200), at(300), true), true);
    assert.equal(wasForgotten(at(100), at(200), at(50), true), false, 'deletions of that time are still remembered');
    assert.equal(wasForgotten(at(100), at(200), at(50), false), true, 'of this kind no deletion is remembered');
  });

  it('is kept when the peer wrote it after they had last met', () => {
    assert.equal(wasForgotten(at(250), at(200), at(300), true), false);
    assert.equal(wasForgotten(at(250), NO_STAMP, at(300), true), false, 'nobody knows when they met');
  });

  it('was common until the last meeting with any of those who are there, less what may have been under way', () => {
    const contacts = { a: at(20_000), b: at(60_000), c: at(90_000) } as Record<string, Stamp>;
    assert.equal(stampMs(commonUntil(contacts, ['a', 'b'])), 55_000);
    assert.equal(commonUntil(contacts, ['x']), NO_STAMP);
    assert.equal(commonUntil({}, []), NO_STAMP);
  });
});
